"""Limit guesses at passwords: each attempt takes one of a few places before its password is checked.

A place is a LoginAttempt row. It is taken in its own short transaction, under a lock for the account and one for
the address, so that parallel guesses in any number of processes cannot take the same place; the slow hash runs after
that transaction has ended. A success returns its place, a failure keeps it taken for LOGIN_WINDOW.

An account has few places *from one address*, and more from all addresses together: so a stranger who guesses uses up
their own places and not the owner's (docs/decisions/0008).
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
_ACCOUNT_LOCKS, _ADDRESS_LOCKS = 20_101, 20_102  # first key of the advisory locks
_ROWS_PER_PURGE = 500
SECOND_FACTOR = "second-factor"
"""The device under which guesses at an account's second factor count: apart from its password's, and wherever they
come from. Who guesses codes knows the password, and a right password clears failures of its own kind only."""


@transaction.atomic(durable=True)
def reserve_attempt(*, email: str, address: str | None, now: dt.datetime, device: str = "") -> LoginAttempt:
    """Take a place for one check of a password, before the check.

    Unknown emails are treated the same. `address` is where the call came from, None without a
    known one (a shell, a Unix socket). `device` names a browser that has signed in to this account before: it has
    its own places, whatever others do from its address. At an address from which the account has signed in before,
    guesses from other addresses do not count.

    :raises TooManyLoginFailures: if no place is left; this call is not counted, so waiting always helps
    """
    account = _lock_account(email)  # every attempt locks its account first, then its address: no deadlock
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
    """Return the place of an attempt that succeeded, and those of earlier failures of the same caller.

    Only failures on this account *from this address*, or this device, are deleted. Guesses from elsewhere stay: else an
    attacker would get new guesses whenever the owner signs in. Guesses from this address on other accounts stay: else
    signing in to one's own account would reset the address.
    """
    same = LoginAttempt.objects.filter(account=attempt.account, device=attempt.device, pk__lte=attempt.pk)
    (same if attempt.device else same.filter(address=attempt.address)).delete()


def remember_place(*, user_id: int, address: str | None, now: dt.datetime) -> None:
    """Record that a person has signed in from an address; repetition within a day writes nothing."""
    counted_address = _counted_address(address)
    if counted_address is None:
        return
    known = SignInPlace.objects.filter(user_id=user_id, address=counted_address)
    if known.filter(last_used_at__gt=now - _PLACES_ARE_NOTED_EVERY).exists():
        return
    with suppress(IntegrityError):  # the person was deleted concurrently, which the sign-in detects next
        SignInPlace.objects.bulk_create(
            [SignInPlace(user_id=user_id, address=counted_address, last_used_at=now)],
            update_conflicts=True,
            unique_fields=["user", "address"],
            update_fields=["last_used_at"],
        )


def forget_places(*, user_id: int) -> None:
    """Delete the known addresses of a person, as when a password that others may have known is changed."""
    SignInPlace.objects.filter(user_id=user_id).delete()


@transaction.atomic
def unlock(*, email: str, keep_second_factor: bool = False) -> int:
    """Delete the failed sign-ins of an account and return their number; they stop counting against addresses, too.

    With `keep_second_factor` guesses at codes go on counting, as after a new password.
    """
    attempts = LoginAttempt.objects.filter(account=_lock_account(email))
    return (attempts.exclude(device=SECOND_FACTOR) if keep_second_factor else attempts).delete()[0]


@transaction.atomic
def purge_old_attempts(*, now: dt.datetime) -> None:
    """Delete some rows that no longer count; never waits for another purge."""
    old = LoginAttempt.objects.filter(attempted_at__lte=now - settings.LOGIN_WINDOW).order_by("attempted_at")
    some = old.select_for_update(skip_locked=True)[:_ROWS_PER_PURGE]
    LoginAttempt.objects.filter(pk__in=list(some.values_list("pk", flat=True))).delete()
    unused = SignInPlace.objects.filter(last_used_at__lte=now - PLACES_ARE_KNOWN_FOR).order_by("last_used_at")
    places = unused.select_for_update(skip_locked=True)[:_ROWS_PER_PURGE]
    SignInPlace.objects.filter(pk__in=list(places.values_list("pk", flat=True))).delete()


def _is_known(account: str, address: str | None, now: dt.datetime) -> bool:
    """Return whether the account has signed in from this address lately; runs the same query for unknown accounts."""
    places = SignInPlace.objects.filter(address=address, last_used_at__gt=now - PLACES_ARE_KNOWN_FOR)
    return places.filter(user__in=User.objects.with_email(account)).exists()


def _lock_account(email: str) -> str:
    """Lock the account with this email; return the email as the database compares it."""
    typed = canonical_email(email)[:LONGEST_EMAIL].replace("\0", "").encode(errors="replace").decode()
    with connection.cursor() as cursor:
        # Lower-cased by the database, as in the look-up of the user: Python's lower case differs, and each spelling
        # that it distinguishes would allow ten more guesses.
        cursor.execute("SELECT left(lower(%s), %s)", [typed, LONGEST_EMAIL])
        account = str(cursor.fetchone()[0])
    _lock(_ACCOUNT_LOCKS, account)
    return account


def _lock(kind: int, name: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s, hashtext(%s))", [kind, name])


def _counted_address(address: str | None) -> str | None:
    """Return the address to count against: for IPv6 the /64 network, which one customer is assigned."""
    try:
        parsed = ipaddress.ip_address(address or "")
    except ValueError:  # a shell or a Unix socket: counted together, callers would lock each other out
        return None
    if isinstance(parsed, ipaddress.IPv4Address):
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((int(parsed), 64), strict=False).network_address)


def _wait(attempts: QuerySet[LoginAttempt], allowed: int, now: dt.datetime) -> int:
    return seconds_to_wait(attempts, allowed, settings.LOGIN_WINDOW, now, at="attempted_at")
