"""Times as logs write them: RFC 3339, the common log format's, and Unix times."""

from __future__ import annotations

import datetime as dt
import re
from decimal import Decimal

from config.values.times import NotAnInstant
from config.values.timestamps import parse_timestamp

_COMMON = re.compile(r"(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(0\d|1[0-4])([0-5]\d)", re.ASCII)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_UNIX = re.compile(r"[0-9]{9,19}(?:\.[0-9]{1,12})?", re.ASCII)
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
# In the years 2000 to 2100 no two of these units have a number in common.
_UNITS = ((Decimal(10) ** 10, 6), (Decimal(10) ** 13, 3), (Decimal(10) ** 16, 0), (Decimal(10) ** 19, -3))


def log_time(value: object) -> dt.datetime:
    """Parse a time in any form that logs have, in UTC. Digits finer than a microsecond are cut.

    A number is a Unix time, in seconds, milliseconds, microseconds or nanoseconds: whichever lies in this century.

    :raises NotAnInstant: if it is not a time
    """
    if isinstance(value, int | Decimal) and not isinstance(value, bool):
        value = (
            f"{value:f}" if isinstance(value, Decimal) and value.is_finite() and value.adjusted() < 20 else str(value)
        )
    text = value if isinstance(value, str) else ""
    if _UNIX.fullmatch(text):
        return _unix_time(Decimal(text))
    return common_log_time(text) if text[2:3] == "/" else parse_timestamp(text)


def _unix_time(number: Decimal) -> dt.datetime:
    for bound, places in _UNITS:
        if number < bound:
            return _EPOCH + dt.timedelta(microseconds=int(number.scaleb(places)))
    raise NotAnInstant("There is no such date or time.")


def common_log_time(text: str) -> dt.datetime:
    """Parse a time of the common log format, in UTC.

    :raises NotAnInstant: if it has another form, or does not exist
    """
    form = _COMMON.fullmatch(text)
    if form is None or form[2] not in _MONTHS:
        raise NotAnInstant("Write a time like 17/May/2015:10:05:03 +0000.")
    day, _, year, hour, minute, second, sign, ahead_hours, ahead_minutes = form.groups()
    is_leap = (minute, second) == ("59", "60")
    try:
        ahead = dt.timedelta(hours=int(ahead_hours), minutes=int(ahead_minutes)) * (1 if sign == "+" else -1)
        date = dt.date(int(year), _MONTHS.index(form[2]) + 1, int(day))
        moment = dt.datetime.combine(date, dt.time(int(hour), int(minute), int(second) - is_leap), dt.UTC)
        return moment - ahead + dt.timedelta(seconds=is_leap)
    except (ValueError, OverflowError):
        raise NotAnInstant("There is no such date or time.") from None
