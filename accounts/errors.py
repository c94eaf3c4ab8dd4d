"""Refusals of this app; config/api.py maps each to its HTTP status and code."""

from __future__ import annotations

import datetime as dt
from typing import Any


class AccountsRefusal(Exception):
    """Base of this app's refusals; `str()` is a sentence for the caller, `extra` is added to the response."""

    extra: dict[str, Any] = {}  # noqa: RUF012  read-only default


class InvalidCredentials(AccountsRefusal):
    """No active person has this email and password. The response does not say which is wrong."""

    def __init__(self) -> None:
        super().__init__("Invalid email or password.")


class TooManyLoginFailures(AccountsRefusal):
    """The account or the address has used up its failed sign-ins for now."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("Too many failed sign-ins. Please try again later.")
        self.retry_after_seconds = retry_after_seconds


class TooManyRegistrations(AccountsRefusal):
    """The address has created as many accounts as are allowed in a minute."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("Too many registrations. Please try again later.")
        self.retry_after_seconds = retry_after_seconds


class HashingBusy(AccountsRefusal):
    """Too many passwords are being hashed at the same time."""

    retry_after_seconds = 5

    def __init__(self) -> None:
        super().__init__("Too many people are signing in at this moment. Please try again.")


class RegistrationClosed(AccountsRefusal):
    """Registration is turned off on this site."""

    def __init__(self) -> None:
        super().__init__("Registration is closed on this site.")


class FieldsRefused(AccountsRefusal):
    """Some fields have invalid values; `errors` maps each field to its sentences."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__(" ".join(sentence for sentences in errors.values() for sentence in sentences))
        self.errors = errors
        self.extra = {"errors": errors}


class EmailTaken(FieldsRefused):
    """Another person has this address; case is ignored."""

    def __init__(self) -> None:
        super().__init__({"email": ["A user with this email already exists."]})


class PasswordTooWeak(FieldsRefused):
    """The password validators refuse this password; the sentences are theirs."""

    def __init__(self, field: str, sentences: list[str]) -> None:
        super().__init__({field: sentences})


class WrongCurrentPassword(FieldsRefused):
    """The given current password is wrong."""

    def __init__(self) -> None:
        super().__init__({"current_password": ["The current password is wrong."]})


class TokenInvalid(AccountsRefusal):
    """The token is forged, expired or revoked, or its user has changed since."""

    def __init__(self) -> None:
        super().__init__("Token is invalid or has expired.")


class CannotBeMailed(AccountsRefusal):
    """The person has no address that can receive mail."""

    def __init__(self) -> None:
        super().__init__("No email can be sent to this person: they were deactivated, or their address takes none.")


class EmailHasChanged(AccountsRefusal):
    """The account has another address than the one of which staff made sure."""

    def __init__(self, *, email: str) -> None:
        super().__init__(f"The address has changed meanwhile: it is {email} now. Make sure of that one first.")


class EmailIsVerified(AccountsRefusal):
    def __init__(self) -> None:
        super().__init__("This address is verified already.")


class TooManyResetLinks(AccountsRefusal):
    """The person was sent as many reset links as are allowed in a day."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"This person was sent {limit} links within a day, which is the limit.")
        self.extra = {"limit": limit}


class RefreshTokenSpent(AccountsRefusal):
    """The refresh token was exchanged before, at `spent_at`."""

    def __init__(self, *, spent_at: dt.datetime) -> None:
        super().__init__("Refresh token has already been used.")
        self.spent_at = spent_at


class ApiKeyMissing(AccountsRefusal):
    """The call has no API key."""

    def __init__(self) -> None:
        super().__init__("API key is required. Please provide X-API-KEY header.")


class ApiKeyInvalid(AccountsRefusal):
    """The key is unknown, expired, revoked, or of a deactivated user. The response does not say which."""

    def __init__(self) -> None:
        super().__init__("Invalid API key. Please check your X-API-KEY header.")


class ScopeMissing(AccountsRefusal):
    """The key is valid but lacks the scope."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This API key does not have the scope {scope}.")


class NoKeyToRevoke(AccountsRefusal):
    def __init__(self) -> None:
        super().__init__("All of these keys were revoked before, or there are none.")


class ApiKeyNotFound(AccountsRefusal):
    """No key has this prefix."""

    def __init__(self) -> None:
        super().__init__("No API key has this prefix.")


class OwnKeyNotFound(AccountsRefusal):
    """The customer has no such key. The response does not say whether another customer has."""

    def __init__(self) -> None:
        super().__init__("Not found.")


class ApiKeyRefused(FieldsRefused):
    """A key with these values cannot be issued."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__({field: [sentence]})


class TooManyApiKeys(AccountsRefusal):
    """The customer has reached the limit of working keys."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"You have {limit} working API keys, which is the limit. Revoke one that you no longer need.")
        self.extra = {"limit": limit}


class ApiKeyRevoked(AccountsRefusal):
    """A revoked key cannot be changed or rotated."""

    def __init__(self) -> None:
        super().__init__("This API key was revoked. Create a new one instead.")


class ApiKeyExpired(AccountsRefusal):
    """An expired key cannot be changed or rotated."""

    def __init__(self) -> None:
        super().__init__("This API key has expired. Create a new one instead.")


class ApiKeyReplaced(AccountsRefusal):
    """The key was rotated before; only its successor can be rotated."""

    def __init__(self, *, replaced_by: int) -> None:
        super().__init__("This API key was rotated already. Rotate the key that replaced it instead.")
        self.extra = {"replaced_by": replaced_by}


class UserNotFound(AccountsRefusal):
    """No person has this email or id."""

    def __init__(self, named: str) -> None:
        super().__init__(f"No user has the email or id {named!r}.")


class WebhookNotFound(AccountsRefusal):
    """The customer has no such endpoint or delivery. The response does not say whether another customer has."""

    def __init__(self) -> None:
        super().__init__("Not found.")


class WebhookRefused(FieldsRefused):
    """An endpoint cannot have these values."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__({field: [sentence]})


class TooManyWebhooks(AccountsRefusal):
    """The customer has reached the limit of endpoints."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"You have {limit} webhook endpoints, which is the limit. Delete one that you no longer need.")
        self.extra = {"limit": limit}


class WebhookDisabled(AccountsRefusal):
    """The endpoint is turned off, so nothing can be sent to it."""

    def __init__(self) -> None:
        super().__init__("This webhook endpoint is off. Turn it on first.")


class PlanNotFound(AccountsRefusal):
    """No plan has this code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"No plan has the code {code!r}.")


class TooManyWebhookTests(AccountsRefusal):
    """The customer has tested endpoints as often as is allowed in a minute or a day."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("Your webhook endpoints were tried out too often. Please try again later.")
        self.retry_after_seconds = retry_after_seconds


class TooManyResends(AccountsRefusal):
    """The customer has had as many deliveries sent again as are allowed in a minute."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("You have had too many deliveries sent again. Please try again later.")
        self.retry_after_seconds = retry_after_seconds


class WebhooksMadeTooOften(AccountsRefusal):
    """The customer has created as many endpoints as are allowed in a day, deleted ones included."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("You have made too many webhook endpoints within a day. Please try again later.")
        self.retry_after_seconds = retry_after_seconds


class UnknownPermissions(AccountsRefusal):
    """The table of roles names permissions that the database does not have."""

    def __init__(self, names: list[str]) -> None:
        super().__init__(f"No such permission: {', '.join(names)}. Run manage.py migrate first, or mend the table.")


class WrongSecondFactor(AccountsRefusal):
    """The code is none of the person's, or was used before."""

    def __init__(self) -> None:
        super().__init__("This code is wrong, has been used, or its time is over.")


class NoSecondFactor(AccountsRefusal):
    """The person has no second factor that could be reset."""

    def __init__(self) -> None:
        super().__init__("This person has no second factor.")


class SignOnRefused(AccountsRefusal):
    """The issuer of single sign-on vouches for a person who may not come in; the sentence says why."""


class IssuerBusy(AccountsRefusal):
    """The issuer of single sign-on does not answer, or too many people are coming back from it at once."""

    def __init__(self) -> None:
        super().__init__("The issuer takes long to answer just now. Please try again in a moment.")
