"""API keys: issuing them once, taking them back, and recognising them on each call."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Q

from accounts import key_format
from accounts.callers import api_key_of_hash
from accounts.emails import HIDES_SOMETHING, hides_something
from accounts.errors import ApiKeyInvalid, ApiKeyMissing, ApiKeyNotFound, ApiKeyRefused, ScopeMissing
from accounts.models import ApiKey, Scope, User
from accounts.services.keys.limits import NO_LIMITS, KeyLimits, refuse_limits, set_limits

CUSTOMER_SCOPES = (Scope.ACCOUNT_READ,)
SERVICE_SCOPES = (Scope.METERING,)
LONGEST_NAME = 100
_USE_IS_NOTED_EVERY = dt.timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class IssuedKey:
    """A new key, and its full text: the only time that anybody sees it."""

    api_key: ApiKey
    raw: str


def issue_api_key(
    *,
    user: User,
    name: str,
    scopes: Collection[str],
    now: dt.datetime,
    expires_at: dt.datetime | None = None,
    limits: KeyLimits = NO_LIMITS,
    replaces: ApiKey | None = None,
    raw: str | None = None,
) -> IssuedKey:
    """Make a key for a customer's own programs; each call makes another. `raw` is its text, drawn unless given.

    How many a customer has is not looked at: what customers do themselves is in `own_keys`.

    :raises ApiKeyRefused: if the name is empty or too long, a scope is unknown or for service keys only, the key would
        have expired already, or no key may have such limits
    """
    refuse_key(name=name, scopes=scopes, allowed=CUSTOMER_SCOPES, expires_at=expires_at, now=now)
    refuse_limits(limits, of_service=False)
    return _issue(user, name, scopes, now, expires_at, limits, replaces, raw or key_format.make_key())


def issue_service_key(
    *,
    name: str,
    scopes: Collection[str],
    now: dt.datetime,
    expires_at: dt.datetime | None = None,
    limits: KeyLimits = NO_LIMITS,
    raw: str | None = None,
) -> IssuedKey:
    """Make a key for one of the company's own services, which acts for any customer and has no account itself.

    :raises ApiKeyRefused: as for a customer's key; `account:read` needs an account
    """
    refuse_key(name=name, scopes=scopes, allowed=SERVICE_SCOPES, expires_at=expires_at, now=now)
    refuse_limits(limits, of_service=True)
    return _issue(None, name, scopes, now, expires_at, limits, None, raw or key_format.make_key())


@transaction.atomic
def revoke_api_key(*, prefix: str, now: dt.datetime) -> ApiKey:
    """Withdraw a key for good; a key withdrawn before keeps its time.

    `prefix` is the 12 public characters, with or without `tb_live_` before them.

    :raises ApiKeyNotFound: if no key has this prefix
    """
    prefix = prefix.strip().removeprefix(key_format.KEY_START)
    ApiKey.objects.filter(prefix=prefix, revoked_at=None).update(revoked_at=now)
    revoked = ApiKey.objects.select_related("user").filter(prefix=prefix).first()
    if revoked is None:
        raise ApiKeyNotFound
    return revoked


def authenticate_api_key(raw: str | None, *, now: dt.datetime) -> ApiKey:
    """Recognise a key that may be used now, with its user, by one query.

    Notes the use at most once a minute and never waits to do so.

    :raises ApiKeyMissing: if there is none
    :raises ApiKeyInvalid: if it is malformed, mistyped, unknown, expired, revoked, or of a deactivated user
    """
    if not raw:
        raise ApiKeyMissing
    if not key_format.is_well_formed(raw):
        raise ApiKeyInvalid
    api_key = api_key_of_hash(key_format.hash_of(raw))
    if api_key is None or not _is_live(api_key, now):
        raise ApiKeyInvalid
    if api_key.last_used_at is None or api_key.last_used_at <= now - _USE_IS_NOTED_EVERY:
        _note_use(api_key, now)
    return api_key


def demand_scope(api_key: ApiKey, scope: str) -> None:
    """Let a key pass that is good for this.

    :raises ScopeMissing: if it is not
    """
    if scope not in api_key.scopes:
        raise ScopeMissing(scope)


def _is_live(api_key: ApiKey, now: dt.datetime) -> bool:
    if api_key.revoked_at is not None or (api_key.expires_at is not None and api_key.expires_at <= now):
        return False
    return api_key.user is None or api_key.user.is_active


@transaction.atomic
def _note_use(api_key: ApiKey, now: dt.datetime) -> None:
    not_noted = Q(last_used_at=None) | Q(last_used_at__lte=now - _USE_IS_NOTED_EVERY)
    # Whoever holds the row is noting the same minute, or revoking the key: no call waits for either.
    free = ApiKey.objects.filter(not_noted, pk=api_key.pk).select_for_update(skip_locked=True, no_key=True)
    if ApiKey.objects.filter(pk__in=free.values("pk")).update(last_used_at=now):
        api_key.last_used_at = now


def refuse_key(
    *,
    name: str,
    scopes: Collection[str],
    allowed: Collection[Scope],
    expires_at: dt.datetime | None,
    now: dt.datetime,
) -> None:
    """Refuse what no key may be.

    :raises ApiKeyRefused: naming what is wrong with it
    """
    refuse_name(name)
    if not scopes:
        raise ApiKeyRefused("scopes", "A key needs at least one scope.")
    for scope in scopes:
        if scope not in Scope.values:
            raise ApiKeyRefused("scopes", f"There is no scope {scope!r}; the scopes are {', '.join(Scope.values)}.")
        if scope not in allowed:
            whose = "a service" if allowed == SERVICE_SCOPES else "a customer's"
            raise ApiKeyRefused("scopes", f"The scope {scope} is not for {whose} key.")
    if expires_at is not None and expires_at <= now:
        raise ApiKeyRefused("expires_at", "The key would have expired already.")


def refuse_name(name: str) -> None:
    """Refuse what no key may be called.

    :raises ApiKeyRefused: if it is empty or too long, or not read as it stands
    """
    if not 0 < len(name.strip()) <= LONGEST_NAME:
        raise ApiKeyRefused("name", f"A key needs a name of 1 to {LONGEST_NAME} characters.")
    if hides_something(name.strip()):
        raise ApiKeyRefused("name", f"A key's name {HIDES_SOMETHING}")


def _issue(
    user: User | None,
    name: str,
    scopes: Collection[str],
    now: dt.datetime,
    expires_at: dt.datetime | None,
    limits: KeyLimits,
    replaces: ApiKey | None,
    raw: str,
) -> IssuedKey:
    api_key = ApiKey(
        user=user,
        name=name.strip(),
        prefix=key_format.prefix_of(raw),
        last4=raw[-4:],
        key_hash=key_format.hash_of(raw),
        scopes=sorted(set(scopes)),
        created_at=now,
        expires_at=expires_at,
        replaces=replaces,
        original_id=None if replaces is None else replaces.original_id or replaces.pk,
    )
    set_limits(api_key, limits)
    api_key.save(force_insert=True)
    return IssuedKey(api_key=api_key, raw=raw)
