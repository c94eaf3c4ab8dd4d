"""Refusals of this app; config/api.py says which status and code each becomes over HTTP."""

from __future__ import annotations

import datetime as dt
from typing import Any


class AccountsRefusal(Exception):
    """Base of this app's refusals; `str()` is a sentence for the caller, `extra` goes into the answer."""

    extra: dict[str, Any] = {}  # noqa: RUF012  read-only default


class InvalidCredentials(AccountsRefusal):
    """No active person has this address and this password: it is not said which of them is wrong."""

    def __init__(self) -> None:
        super().__init__("Invalid email or password.")


class TooManyLoginFailures(AccountsRefusal):
    """The account or the address has used up its guesses for now."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("Too many failed sign-ins. Please try again later.")
        self.retry_after_seconds = retry_after_seconds


class TooManyRegistrations(AccountsRefusal):
    """The address has made as many accounts as it may in a minute."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("Too many registrations. Please try again later.")
        self.retry_after_seconds = retry_after_seconds


class HashingBusy(AccountsRefusal):
    """Too many passwords are being looked at just now."""

    retry_after_seconds = 5

    def __init__(self) -> None:
        super().__init__("Too many people are signing in at this moment. Please try again.")


class RegistrationClosed(AccountsRefusal):
    """This site takes no sign-ups of its own."""

    def __init__(self) -> None:
        super().__init__("Registration is closed on this site.")


class FieldsRefused(AccountsRefusal):
    """What was given for some fields cannot be taken; `errors` has the sentences of each field."""

    def __init__(self, errors: dict[str, list[str]]) -> None:
        super().__init__(" ".join(sentence for sentences in errors.values() for sentence in sentences))
        self.errors = errors
        self.extra = {"errors": errors}


class EmailTaken(FieldsRefused):
    """Somebody has this address already, in whatever case."""

    def __init__(self) -> None:
        super().__init__({"email": ["A user with this email already exists."]})


class PasswordTooWeak(FieldsRefused):
    """The validators refuse this password, in their own sentences."""

    def __init__(self, field: str, sentences: list[str]) -> None:
        super().__init__({field: sentences})


class WrongCurrentPassword(FieldsRefused):
    """The password to be replaced is another one."""

    def __init__(self) -> None:
        super().__init__({"current_password": ["The current password is wrong."]})


class TokenInvalid(AccountsRefusal):
    """The token is none of ours, has ended, was revoked, or its user changed."""

    def __init__(self) -> None:
        super().__init__("Token is invalid or has expired.")


class CannotBeMailed(AccountsRefusal):
    """There is no address of this person's that mail can be sent to."""

    def __init__(self) -> None:
        super().__init__("No email can be sent to this person: they were deactivated, or their address takes none.")


class TooManyResetLinks(AccountsRefusal):
    """A person is sent so many links a day and not more."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"This person was sent {limit} links within a day, which is the limit.")
        self.extra = {"limit": limit}


class RefreshTokenSpent(AccountsRefusal):
    """The refresh token was exchanged before, at `spent_at`."""

    def __init__(self, *, spent_at: dt.datetime) -> None:
        super().__init__("Refresh token has already been used.")
        self.spent_at = spent_at


class ApiKeyMissing(AccountsRefusal):
    """The call brought no key."""

    def __init__(self) -> None:
        super().__init__("API key is required. Please provide X-API-KEY header.")


class ApiKeyInvalid(AccountsRefusal):
    """The key is unknown, expired, revoked, or of a deactivated user: it is not said which."""

    def __init__(self) -> None:
        super().__init__("Invalid API key. Please check your X-API-KEY header.")


class ScopeMissing(AccountsRefusal):
    """The key is good, but not for this."""

    def __init__(self, scope: str) -> None:
        super().__init__(f"This API key does not have the scope {scope}.")


class ApiKeyNotFound(AccountsRefusal):
    """No key has this prefix."""

    def __init__(self) -> None:
        super().__init__("No API key has this prefix.")


class OwnKeyNotFound(AccountsRefusal):
    """The customer has no such key: it is not said whether somebody else has."""

    def __init__(self) -> None:
        super().__init__("Not found.")


class ApiKeyRefused(FieldsRefused):
    """A key like this cannot be issued."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__({field: [sentence]})


class TooManyApiKeys(AccountsRefusal):
    """The customer has as many working keys as anybody may have."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"You have {limit} working API keys, which is the limit. Revoke one that you no longer need.")
        self.extra = {"limit": limit}


class ApiKeyRevoked(AccountsRefusal):
    """A key that was withdrawn has no successor."""

    def __init__(self) -> None:
        super().__init__("This API key was revoked. Create a new one instead.")


class ApiKeyExpired(AccountsRefusal):
    """A key that has ended has no successor."""

    def __init__(self) -> None:
        super().__init__("This API key has expired. Create a new one instead.")


class ApiKeyReplaced(AccountsRefusal):
    """A key is rotated once; then its successor is the one to rotate."""

    def __init__(self, *, replaced_by: int) -> None:
        super().__init__("This API key was rotated already. Rotate the key that replaced it instead.")
        self.extra = {"replaced_by": replaced_by}


class UserNotFound(AccountsRefusal):
    """Nobody has this email or id."""

    def __init__(self, named: str) -> None:
        super().__init__(f"No user has the email or id {named!r}.")


class WebhookNotFound(AccountsRefusal):
    """The customer has no such endpoint, or it no such delivery: it is not said whether somebody else has."""

    def __init__(self) -> None:
        super().__init__("Not found.")


class WebhookRefused(FieldsRefused):
    """An endpoint cannot be like this."""

    def __init__(self, field: str, sentence: str) -> None:
        super().__init__({field: [sentence]})


class TooManyWebhooks(AccountsRefusal):
    """The customer has as many endpoints as anybody may have."""

    def __init__(self, *, limit: int) -> None:
        super().__init__(f"You have {limit} webhook endpoints, which is the limit. Delete one that you no longer need.")
        self.extra = {"limit": limit}


class WebhookDisabled(AccountsRefusal):
    """Nothing is sent to an endpoint that is off."""

    def __init__(self) -> None:
        super().__init__("This webhook endpoint is off. Turn it on first.")


class PlanNotFound(AccountsRefusal):
    """No plan has this code."""

    def __init__(self, code: str) -> None:
        super().__init__(f"No plan has the code {code!r}.")


class TooManyWebhookTests(AccountsRefusal):
    """A customer tries endpoints out so many times a minute, and a day, and not more."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("Your webhook endpoints were tried out too often. Please try again later.")
        self.retry_after_seconds = retry_after_seconds


class TooManyResends(AccountsRefusal):
    """A customer has so many deliveries sent again a minute and not more."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("You have had too many deliveries sent again. Please try again later.")
        self.retry_after_seconds = retry_after_seconds


class WebhooksMadeTooOften(AccountsRefusal):
    """A customer makes so many endpoints a day and not more, deleted ones included."""

    def __init__(self, *, retry_after_seconds: int) -> None:
        super().__init__("You have made too many webhook endpoints within a day. Please try again later.")
        self.retry_after_seconds = retry_after_seconds
