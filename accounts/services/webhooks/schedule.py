"""When a failed delivery is tried again: the schedule of Standard Webhooks, for one day."""

from __future__ import annotations

import datetime as dt
from email.utils import parsedate_to_datetime

# Pauses after the first attempt, which is immediate. Together 23.5 hours: jitter only shortens them.
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
    """Return when to make the next attempt after `failures` failures; None to give up.

    `jitter`, from 0 to 1, shortens a pause by up to a tenth, so that deliveries that failed together spread out.
    `wait` is the endpoint's Retry-After: the pause is no shorter, unless the day ends before.
    """
    if failures > len(PAUSES):
        return None
    due = now + PAUSES[failures - 1] * (1 - JITTER * jitter)
    end = due_since + LONGEST_DAY
    if wait is not None and now + wait > due:
        due = max(due, min(now + wait, end))
    return due if due <= end else None


def requested_wait(*, status: int | None, retry_after: str | None, now: dt.datetime) -> dt.timedelta | None:
    """Return the `Retry-After` of a response, in seconds or as a date (RFC 9110, 10.2.3); None if it has none."""
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
