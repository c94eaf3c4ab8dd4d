"""Guessing has a price: each attempt takes one of few places before its password is looked at.

A place is a LoginAttempt row. It is taken in a short transaction of its own, under a lock for the account and one for
the address, so that parallel guesses in any number of processes cannot all find the same place free; the slow hash
runs after that transaction has ended. A success gives its place back, a failure leaves it taken for LOGIN_WINDOW.

Places are counted tightly for an account *from one address*, and loosely for an account from everywhere: so a stranger
who guesses uses up their own places and not the owner's (docs/decisions/0008).
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from contextlib import suppress

from django.conf import settings
from django.db import IntegrityError, connection, transaction
from django.db.models import QuerySet

from accounts.emails import LONGEST_EMAIL, canonical_email
from accounts.errors import TooManyLoginFailures
from accounts.models import LoginAttempt, SignInPlace, User
from config.db.waiting import seconds_to_wait

PLACES_ARE_KNOWN_FOR = dt.timedelta(days=90)
_PLACES_ARE_NOTED_EVERY = dt.timedelta(days=1)
_ACCOUNT_LOCKS, _ADDRESS_LOCKS = 20_101, 20_102  # the first half of the advisory locks' names
_ROWS_PER_PURGE = 500


@transaction.atomic(durable=True)
def reserve_attempt(*, email: str, address: str | None, now: dt.datetime, device: str = "") -> LoginAttempt:
    """Take a place for one look at a password, before it is looked at.

    Whether the email belongs to anybody makes no difference. `address` is where the call came from, None without a
    known one (a shell, a Unix socket). `device` names a browser that has signed in to this account before: it has
    places of its own, whatever others do from its address. Where the account has signed in from before, guesses from
    elsewhere do not count.

    :raises TooManyLoginFailures: if none is left; nothing is counted then, so waiting helps however often others try
    """
    account = _lock_account(email)  # every attempt locks its account first, then its address: no circle can form
    counted_address = _counted_address(address)
    if counted_address is not None and not device:
        _lock(_ADDRESS_LOCKS, counted_address)
    of_account = LoginAttempt.objects.filter(account=account)
    own = {"device": device} if device else {"device": "", "address": counted_address}
    waits = [_wait(of_account.filter(**own), settings.LOGIN_FAILURES_PER_ACCOUNT, now)]
    if not device:
        if not _is_known(account, counted_address, now):
            waits.append(_wait(of_account, settings.LOGIN_FAILURES_EVERYWHERE, now))
        if counted_address is not None:
            from_address = LoginAttempt.objects.filter(address=counted_address)
            waits.append(_wait(from_address, settings.LOGIN_FAILURES_PER_ADDRESS, now))
    if max(waits) > 0:
        raise TooManyLoginFailures(retry_after_seconds=max(waits))
    return LoginAttempt.objects.create(account=account, address=counted_address, device=device, attempted_at=now)


def forgive_attempts(attempt: LoginAttempt) -> None:
    """Give back the place of an attempt that succeeded, and those of earlier typing errors.

    Only failures on this account *from this address*, or this device, go. Guesses from elsewhere stay: else an
    attacker would get new ones whenever the owner signs in. Guesses from this address on other accounts stay: else
    signing in to an account of one's own would reset the address.
    """
    same = LoginAttempt.objects.filter(account=attempt.account, device=attempt.device, pk__lte=attempt.pk)
    (same if attempt.device else same.filter(address=attempt.address)).delete()


def remember_place(*, user_id: int, address: str | None, now: dt.datetime) -> None:
    """Note that somebody has signed in from an address; repeated within a day it writes nothing."""
    counted_address = _counted_address(address)
    if counted_address is None:
        return
    known = SignInPlace.objects.filter(user_id=user_id, address=counted_address)
    if known.filter(last_used_at__gt=now - _PLACES_ARE_NOTED_EVERY).exists():
        return
    with suppress(IntegrityError):  # the person was deleted meanwhile, as the sign-in is about to find out
        SignInPlace.objects.bulk_create(
            [SignInPlace(user_id=user_id, address=counted_address, last_used_at=now)],
            update_conflicts=True,
            unique_fields=["user", "address"],
            update_fields=["last_used_at"],
        )


def forget_places(*, user_id: int) -> None:
    """Know nobody's address any more, as when a password was changed that others may have known."""
    SignInPlace.objects.filter(user_id=user_id).delete()


@transaction.atomic
def unlock(*, email: str) -> int:
    """Forget the failed sign-ins of an account; answers how many there were. They no longer count against addresses."""
    return LoginAttempt.objects.filter(account=_lock_account(email)).delete()[0]


@transaction.atomic
def purge_old_attempts(*, now: dt.datetime) -> None:
    """Remove some of the rows that no longer count; never waits for another purge."""
    old = LoginAttempt.objects.filter(attempted_at__lte=now - settings.LOGIN_WINDOW).order_by("attempted_at")
    some = old.select_for_update(skip_locked=True)[:_ROWS_PER_PURGE]
    LoginAttempt.objects.filter(pk__in=list(some.values_list("pk", flat=True))).delete()
    unused = SignInPlace.objects.filter(last_used_at__lte=now - PLACES_ARE_KNOWN_FOR).order_by("last_used_at")
    places = unused.select_for_update(skip_locked=True)[:_ROWS_PER_PURGE]
    SignInPlace.objects.filter(pk__in=list(places.values_list("pk", flat=True))).delete()


def _is_known(account: str, address: str | None, now: dt.datetime) -> bool:
    """Tell whether the account has signed in from this address of late; asks the same of one that nobody has."""
    places = SignInPlace.objects.filter(address=address, last_used_at__gt=now - PLACES_ARE_KNOWN_FOR)
    return places.filter(user__in=User.objects.with_email(account)).exists()


def _lock_account(email: str) -> str:
    """Lock the account that this email would find, and name it as the database compares it."""
    typed = canonical_email(email)[:LONGEST_EMAIL].replace("\0", "").encode(errors="replace").decode()
    with connection.cursor() as cursor:
        # Lower-cased by the database, as the look-up of the user is: Python's idea of lower case differs, and each
        # spelling that it tells apart would be ten more guesses.
        cursor.execute("SELECT left(lower(%s), %s)", [typed, LONGEST_EMAIL])
        account = str(cursor.fetchone()[0])
    _lock(_ACCOUNT_LOCKS, account)
    return account


def _lock(kind: int, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [kind, name])


def _counted_address(address: str | None) -> str | None:
    """Reduce an address to what counts as one place: of IPv6 the /64 network, which is what one customer gets."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:  # a shell or a Unix socket: counted together, its callers would lock each other out
        return None
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False).network_address)


def _wait(attempts: QuerySet[LoginAttempt], allowed: int, now: dt.datetime) -> int:
    return seconds_to_wait(attempts, allowed, settings.LOGIN_WINDOW, now, at="attempted_at")
