"""Timestamps in bodies, logs and responses: RFC 3339. Responses use UTC with `Z`; input is accepted in any form.

`from` and `to` are narrower: `config.values.times`.
"""

from __future__ import annotations

import datetime as dt
import re

from config.values.times import FIRST_YEAR, LAST_YEAR, NotAnInstant

_FORM = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:[Tt ](?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]++))?)?"
    r"(?:[Zz]|(?P<sign>[+-])(?P<ahead_hours>[0-9]{2}):?(?P<ahead_minutes>[0-9]{2}))?)?",
    re.ASCII,
)
_WANTED = "Write a time as RFC 3339 has it, such as 2026-11-20T10:00:00.123Z or 2026-11-20T11:00:00+01:00."
_MOST_AHEAD = dt.timedelta(hours=14)


def instant_text(instant: dt.datetime) -> str:
    """Return an aware datetime as text; the fraction appears only if it is not 0.

    :raises ValueError: if the datetime is naive
    """
    if instant.utcoffset() is None:
        raise ValueError("An instant without a zone cannot be printed.")
    return instant.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"


def parse_timestamp(text: str) -> dt.datetime:
    """Parse a timestamp as gateways and client libraries write it, in UTC. A date means its midnight.

    RFC 3339: a fraction of any number of digits, `t` and `z` in either case, a blank for the `T`, a leap second (read
    as the second after it). Also, as in logs: offsets without a colon, no seconds, no zone (UTC). Digits
    beyond a microsecond are truncated, not rounded: no request moves into the next day.

    :raises NotAnInstant: if the text has another form, or is outside the years 2000 to 2100
    """
    form = _FORM.fullmatch(text)
    if form is None:
        raise NotAnInstant(_WANTED)
    try:
        date = dt.date.fromisoformat(form["date"])
        hour, minute, second = (int(form[name] or 0) for name in ("hour", "minute", "second"))
        is_leap = (minute, second) == (59, 60)
        microsecond = 0 if is_leap else int((form["fraction"] or "")[:6].ljust(6, "0"))
        moment = dt.datetime.combine(date, dt.time(hour, minute, 59 if is_leap else second, microsecond), dt.UTC)
    except ValueError:
        raise NotAnInstant("There is no such date or time.") from None
    if not FIRST_YEAR <= date.year <= LAST_YEAR:
        raise NotAnInstant(f"The year must lie from {FIRST_YEAR} to {LAST_YEAR}.")
    return moment - _ahead_of_utc(form) + dt.timedelta(seconds=is_leap)


def _ahead_of_utc(form: re.Match[str]) -> dt.timedelta:
    if form["sign"] is None:
        return dt.timedelta(0)
    ahead = dt.timedelta(hours=int(form["ahead_hours"]), minutes=int(form["ahead_minutes"]))
    if int(form["ahead_minutes"]) > 59 or ahead > _MOST_AHEAD:
        raise NotAnInstant("An offset from UTC is at most 14:00 either way.")
    return -ahead if form["sign"] == "-" else ahead
