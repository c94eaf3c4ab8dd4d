"""Notices to people about their own account: changed passwords and emails, new keys, and reset links.

No email here contains text that the account chose, such as a key's name: until an address is verified, it may
belong to another person than the one who registered it, and these emails come from the company.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from urllib.parse import urlsplit

from accounts.models import ApiKey, DisabledReason, User, WebhookEndpoint
from accounts.services.notices import RESET_LINK, RESET_LINK_HERE, notify_customer
from config.values.timestamps import instant_text

PASSWORD_CHANGED, EMAIL_CHANGED, KEY_CREATED = "account.password_changed", "account.email_changed", "api_key.created"
SECOND_FACTOR_CHANGED, RECOVERY_CODE_USED = "account.second_factor_changed", "account.recovery_code_used"
MOST_EMAILS_A_DAY = 5  # of each type: a hundred changes of a password need not send a hundred emails
_NOT_YOU = "If this was not you, answer to this email or write to our support at once.\n"


def notify_password_changed(*, user_id: int, revoked_keys: int, is_by_staff: bool, now: dt.datetime) -> None:
    """Notify a person, in the caller's transaction, that the password was changed."""
    by = "by our staff " if is_by_staff else ""
    keys = f" {revoked_keys} API keys were revoked with it." if revoked_keys else ""
    _tell(
        user_id,
        PASSWORD_CHANGED,
        {"by_staff": is_by_staff, "revoked_keys": revoked_keys},
        "Your password was changed",
        f"The password of your account was changed {by}at {_shown(now)}. Every sign-in has ended.{keys}\n\n{_NOT_YOU}",
        now,
    )


def notify_email_changed(*, user_id: int, old: str, is_by_staff: bool, now: dt.datetime) -> None:
    """Notify a person, at the new address and at the old one, that the email was changed."""
    by = "by our staff " if is_by_staff else ""
    subject, data = "The email of your account was changed", {"by_staff": is_by_staff}
    said = f"The email address of your account was changed {by}at {_shown(now)}."
    _tell(user_id, EMAIL_CHANGED, data, subject, f"{said} From now on we write to this one.\n\n{_NOT_YOU}", now)
    _tell(user_id, EMAIL_CHANGED, data, subject, f"{said} We no longer write to this one.\n\n{_NOT_YOU}", now, to=old)


def notify_second_factor_changed(*, user_id: int, what: str, now: dt.datetime, is_by_staff: bool = False) -> None:
    """Notify a person that a second factor was `added`, `replaced`, `removed` or `reset`."""
    by = "by our staff " if is_by_staff else ""
    ended = " All second factors are gone and every session has ended." if what == "reset" else ""
    _tell(
        user_id,
        SECOND_FACTOR_CHANGED,
        {"what": what, "by_staff": is_by_staff},
        f"A second factor of your account was {what}",
        f"A second factor of your account was {what} {by}at {_shown(now)}.{ended}\n\n{_NOT_YOU}",
        now,
    )


def notify_recovery_code_used(*, user_id: int, left: int, now: dt.datetime) -> None:
    """Notify a person that a recovery code was used, and how many are left."""
    _tell(
        user_id,
        RECOVERY_CODE_USED,
        {"left": left},
        "A recovery code of your account was used",
        f"Somebody gave a recovery code of your account, and its password, at {_shown(now)}.\n"
        f"It works no more; {left} are left.\n\n{_NOT_YOU}",
        now,
    )


def notify_key_created(api_key: ApiKey, *, is_by_staff: bool, now: dt.datetime) -> None:
    """Notify a customer of a new key; does nothing for service keys."""
    if api_key.user_id is None:
        return
    by = "by our staff " if is_by_staff else ""
    _tell(
        api_key.user_id,
        KEY_CREATED,
        {"api_key_id": api_key.pk, "prefix": api_key.prefix, "last4": api_key.last4, "by_staff": is_by_staff},
        "A new API key of your account",
        f"The API key {api_key} was made {by}for your account at {_shown(now)}.\n\n{_NOT_YOU}",
        now,
    )


def notify_webhook_disabled(endpoint: WebhookEndpoint, reason: DisabledReason, *, now: dt.datetime) -> None:
    """Notify a customer that an endpoint was turned off.

    The URL is the customer's own text. The email names its host if the customer's address is verified; otherwise it
    names the endpoint by its id.
    """
    user = User.objects.only("email_verified_at").get(pk=endpoint.user_id)
    named = f"number {endpoint.pk}" if user.email_verified_at is None else f"at {urlsplit(endpoint.url).hostname}"
    why = "it answered 410 Gone" if reason == DisabledReason.GONE else "nothing could be delivered to it for five days"
    notify_customer(
        user_id=endpoint.user_id,
        type="webhook.disabled",
        key=f"{endpoint.pk} at {instant_text(now)}",
        data={"endpoint_id": endpoint.pk, "url": endpoint.url, "reason": str(reason)},
        subject="A webhook endpoint was turned off",
        body=f"Your webhook endpoint {named} was turned off, because {why}.\n\n"
        "Nothing is sent to it any more. When it works again, turn it on and send again what it missed.\n",
        now=now,
        most_emails_a_day=MOST_EMAILS_A_DAY,
    )


def send_reset_link(*, user: User, now: dt.datetime) -> None:
    """Queue an email with a link to set a new password; the link is made when the email is sent.

    So the link is never stored: staff who may read notices cannot use it.
    """
    _tell(
        user.pk,
        RESET_LINK,
        {},
        "Set a new password",
        f"Set a new password for your account here, within an hour of this email:\n\n  {RESET_LINK_HERE}\n\n"
        "The link is good for one use. If you did not ask for it, there is nothing to do: your password stays.\n",
        now,
    )


def _tell(
    user_id: int,
    type: str,
    data: Mapping[str, object],
    subject: str,
    body: str,
    now: dt.datetime,
    to: str | None = None,
) -> None:
    notify_customer(
        user_id=user_id,
        type=type,
        key=uuid.uuid4().hex,
        data={**data, "at": instant_text(now)},
        subject=subject,
        body=body,
        now=now,
        email_to=to,
        most_emails_a_day=MOST_EMAILS_A_DAY if to is None else None,
    )


def _shown(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M} UTC"
