"""Count calls by the minute over all processes together, mostly without the database.

A process leases a small block of a caller's minute from one table and uses it locally; the leases of all processes
never exceed the limit. The minute is the database's, so machines with different clocks agree on it.
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field

from django.db import connection

WINDOW_SECONDS = 60
_BLOCKS_A_LIMIT = 50
_LEASES_KEPT = 10_000
_ROWS_SWEPT_EVERY = 500

_LEASE = """
INSERT INTO config_ratewindow AS w (subject, minute, taken)
VALUES (%s, floor(extract(epoch FROM clock_timestamp()) / 60), %s)
ON CONFLICT (subject) DO UPDATE
SET minute = excluded.minute,
    taken = CASE WHEN w.minute = excluded.minute THEN w.taken ELSE 0 END + excluded.taken
RETURNING taken, minute, extract(epoch FROM clock_timestamp())::float8
"""
_SWEEP = """
DELETE FROM config_ratewindow WHERE subject IN (
    SELECT subject FROM config_ratewindow
    WHERE minute < floor(extract(epoch FROM clock_timestamp()) / 60) - 10
    LIMIT 1000 FOR UPDATE SKIP LOCKED
)
"""


@dataclass(frozen=True)
class Count:
    """The result of counting one call: whether it may pass, and what is left of its minute."""

    allowed: bool
    limit: int
    remaining: int
    reset_at: int  # Unix seconds, by the database's clock
    reset_seconds: int  # from now, at least 1


@dataclass
class _Lease:
    """The calls that this process may still admit for one caller in one minute."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    limit: int = 0
    in_hand: int = 0
    left_for_all: int = 0
    reset_at: int = 0
    ends: float = 0.0  # by time.monotonic()


class RateWindows:
    """The leases of one process, shared by its threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._leases: dict[str, _Lease] = {}
        self._asked = 0

    def count(self, subject: str, limit: int) -> Count:
        """Count one call of this caller against `limit` a minute; a refused call is not counted."""
        lease = self._lease_of(subject)
        with lease.lock:  # one round trip, not one per waiting thread
            now = time.monotonic()
            if now >= lease.ends or lease.limit != limit:
                lease.in_hand, lease.left_for_all = 0, 1
            if lease.in_hand == 0 and lease.left_for_all > 0:
                self._renew(lease, subject, limit)
            allowed = lease.in_hand > 0
            lease.in_hand -= allowed
            return Count(
                allowed=allowed,
                limit=limit,
                remaining=lease.in_hand + lease.left_for_all,
                reset_at=lease.reset_at,
                reset_seconds=max(1, int(lease.ends - time.monotonic() + 0.999)),
            )

    def forget(self) -> None:
        """Drop every lease, as in a new process."""
        with self._lock:
            self._leases.clear()

    def _lease_of(self, subject: str) -> _Lease:
        with self._lock:
            lease = self._leases.get(subject)
            if lease is None:
                if len(self._leases) >= _LEASES_KEPT:
                    self._drop_ended()
                lease = self._leases[subject] = _Lease()
            return lease

    def _drop_ended(self) -> None:
        now = time.monotonic()
        self._leases = {subject: lease for subject, lease in self._leases.items() if lease.ends > now}
        if len(self._leases) >= _LEASES_KEPT:
            self._leases.clear()  # leased calls stay taken: the limit holds, some calls go unused

    def _renew(self, lease: _Lease, subject: str, limit: int) -> None:
        block = max(1, limit // _BLOCKS_A_LIMIT)
        asked = time.monotonic()  # before the query: a lease may end early, never late
        with connection.cursor() as cursor:
            cursor.execute(_LEASE, [subject, block])
            taken, minute, now = cursor.fetchone()
            self._asked += 1
            if self._asked % _ROWS_SWEPT_EVERY == 0:
                cursor.execute(_SWEEP)
        before = taken - block
        lease.limit = limit
        lease.in_hand = min(block, max(0, limit - before))
        lease.left_for_all = max(0, limit - taken)
        lease.reset_at = (int(minute) + 1) * WINDOW_SECONDS
        lease.ends = asked + max(0.0, lease.reset_at - now)


windows = RateWindows()
