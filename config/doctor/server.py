"""Checks of the server: its version, durability, the timeouts of the application's role, its clock."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator

from django.db import connection
from django.utils import timezone

from config.doctor.finding import Finding

OLDEST_VERSION = 15
MOST_SKEW = dt.timedelta(seconds=1)
ROUND_TRIPS = 3

_DURABLE = {
    "fsync": ({"on"}, "a crash of the machine can destroy the database"),
    "full_page_writes": ({"on"}, "a crash of the machine can leave torn pages"),
    "synchronous_commit": (
        {"on", "local", "remote_write", "remote_apply"},
        "a charge that was confirmed may be gone after a crash",
    ),
    "wal_level": ({"replica", "logical"}, "there can be no base backup and no standby"),
}
_LIMITS = {
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
}


def version() -> Iterator[Finding]:
    """Check that PostgreSQL is new enough."""
    major = _shown("server_version_num") // 10_000
    if major < OLDEST_VERSION:
        yield Finding("version", f"The server is PostgreSQL {major}: upgrade it to {OLDEST_VERSION} or newer.")


def durability() -> Iterator[Finding]:
    """Check that committed data survives a crash."""
    for name, (good, otherwise) in _DURABLE.items():
        value = _setting(name)
        if value not in good:
            yield Finding("durability", f"{name} is {value}: {otherwise}. Set it to {' or '.join(sorted(good))}.")


def timeouts() -> Iterator[Finding]:
    """Check that no statement of the application can wait or run without end."""
    for name, advised in _LIMITS.items():
        if _setting(name) == "0":
            user = connection.settings_dict["USER"]
            yield Finding(
                "timeouts", f"{name} is not set for the application: ALTER ROLE {user} SET {name} = '{advised}'."
            )


def clock() -> Iterator[Finding]:
    """Check that the clocks of this machine and the database's agree."""
    skew = min((_skew() for _ in range(ROUND_TRIPS)), key=abs)
    if abs(skew) > MOST_SKEW:
        ahead = "ahead of" if skew > dt.timedelta(0) else "behind"
        yield Finding(
            "clock",
            f"The database's clock is {abs(skew).total_seconds():.1f} s {ahead} this machine's: "
            "let both follow a time server.",
        )


def _skew() -> dt.timedelta:
    """Return how far the database's clock is ahead, less the round-trip time."""
    before = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        (there,) = cursor.fetchone()
    after = timezone.now()
    if there > after:
        return there - after  # type: ignore[no-any-return]
    return there - before if there < before else dt.timedelta(0)


def _setting(name: str) -> str:
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting(%s)", [name])
        return str(cursor.fetchone()[0])


def _shown(name: str) -> int:
    return int(_setting(name))
