"""When a delivery that failed is tried again: the schedule of Standard Webhooks, ended after a day."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime

# After the first attempt, which is made at once. Together 23 hours and a half: jitter only makes them shorter.
PAUSES = (
    dt.timedelta(seconds=5),
    dt.timedelta(minutes=5),
    dt.timedelta(minutes=30),
    dt.timedelta(hours=2),
    dt.timedelta(hours=5),
    dt.timedelta(hours=10),
    dt.timedelta(hours=6),
)
LONGEST_DAY = dt.timedelta(hours=24)
JITTER = 0.1
_ASK_TO_WAIT = (429, 503)


def next_attempt(
    *, failures: int, due_since: dt.datetime, now: dt.datetime, jitter: float, wait: dt.timedelta | None
) -> dt.datetime | None:
    """Give the moment of the next attempt after so many failures; None: it is given up.

    `jitter`, from 0 to 1, shortens a pause by up to a tenth, so that what failed together does not come back together.
    `wait` is how long the endpoint asked to be left alone: the pause is no shorter, unless the day ends before.
    """
    if failures > len(PAUSES):
        return None
    due = now + PAUSES[failures - 1] * (1 - JITTER * jitter)
    end = due_since + LONGEST_DAY
    if wait is not None and now + wait > due:
        due = max(due, min(now + wait, end))
    return due if due <= end else None


def asked_wait(*, status: int | None, retry_after: str | None, now: dt.datetime) -> dt.timedelta | None:
    """Read `Retry-After`, in seconds or as a date (RFC 9110, 10.2.3), of an answer that may ask to wait."""
    if status not in _ASK_TO_WAIT or not retry_after:
        return None
    text = retry_after.strip()
    if text.isascii() and text.isdigit() and len(text) <= 9:
        return dt.timedelta(seconds=int(text))
    try:
        until = parsedate_to_datetime(text)
    except (ValueError, TypeError, OverflowError):
        return None
    return until - now if until.tzinfo is not None and until > now else None
