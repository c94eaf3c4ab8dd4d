"""Keys that staff issue by a form, which may be submitted more than once."""

from __future__ import annotations

import datetime as dt
import secrets
import uuid
from collections.abc import Collection

from django.db import IntegrityError, transaction
from django.utils.crypto import salted_hmac

from accounts import key_format
from accounts.models import ApiKey, Scope, User
from accounts.services.account_notices import notify_key_created
from accounts.services.keys.api_keys import (
    CUSTOMER_SCOPES,
    SERVICE_SCOPES,
    IssuedKey,
    issue_api_key,
    issue_service_key,
    refuse_key,
)


def scopes_for(user: User | None) -> tuple[Scope, ...]:
    """Return the scopes that a key of this customer, or of a service, may have."""
    return SERVICE_SCOPES if user is None else CUSTOMER_SCOPES


def issue_key_once(
    *,
    user: User | None,
    name: str,
    scopes: Collection[str],
    now: dt.datetime,
    expires_at: dt.datetime | None,
    form_key: uuid.UUID,
) -> IssuedKey | ApiKey:
    """Issue a key of a customer or a service; return only the row if this form has issued one before.

    A form's key always has the same public prefix, derived from `form_key`; the unique prefix decides which of several
    submissions issues it. The secret after it is random, and only the submission that stored it returns it.

    :raises ApiKeyRefused: naming the invalid value
    """
    refuse_key(name=name, scopes=scopes, allowed=scopes_for(user), expires_at=expires_at, now=now)
    raw = _draw_key(form_key)
    issued_before = ApiKey.objects.filter(prefix=key_format.prefix_of(raw))
    found = issued_before.first()
    if found is not None:
        return found
    try:
        with transaction.atomic():
            if user is None:
                return issue_service_key(name=name, scopes=scopes, now=now, expires_at=expires_at, raw=raw)
            issued = issue_api_key(user=user, name=name, scopes=scopes, now=now, expires_at=expires_at, raw=raw)
            notify_key_created(issued.api_key, is_by_staff=True, now=now)
            return issued
    except IntegrityError:  # a concurrent submission of this form issued the key first
        return issued_before.get()


def _draw_key(form_key: uuid.UUID) -> str:
    named = iter(salted_hmac("accounts.key_forms", form_key.hex, algorithm="sha256").digest())
    drawn = 0

    def choose(alphabet: str) -> str:
        nonlocal drawn
        drawn += 1
        is_public = drawn <= key_format.PREFIX_LENGTH
        return alphabet[next(named) % len(alphabet)] if is_public else secrets.choice(alphabet)

    return key_format.make_key(choose=choose)
