"""Months and periods: when they begin, and the credits of a part of one. The database counts the same way."""

from __future__ import annotations

import calendar
import datetime as dt
from decimal import Decimal

from accounts.models import BillingInterval

MONTHS = {BillingInterval.MONTHLY: 1, BillingInterval.YEARLY: 12}
_MICRO = Decimal("0.000001")
_MICROSECOND = dt.timedelta(microseconds=1)


def month_of(time: dt.datetime) -> dt.datetime:
    """Return the start of the calendar month, in UTC, that contains `time`."""
    return time.astimezone(dt.UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def months_after(anchor: dt.datetime, months: int) -> dt.datetime:
    """Return the time `months` after `anchor`, in UTC: on the month's last day where the month is shorter.

    :raises OverflowError: if that is after the year 9999
    """
    start = anchor.astimezone(dt.UTC)
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    if year > dt.MAXYEAR:
        raise OverflowError(f"{months} months after {anchor} is beyond all calendars")
    return start.replace(year=year, month=month + 1, day=min(start.day, calendar.monthrange(year, month + 1)[1]))


def prorated(credits: Decimal, *, part: dt.timedelta, whole: dt.timedelta) -> Decimal:
    """Return the credits for `part` of `whole`: exact, then rounded to six places, half up."""
    numerator, denominator = int(credits / _MICRO) * (part // _MICROSECOND), whole // _MICROSECOND
    return Decimal((2 * numerator + denominator) // (2 * denominator)).scaleb(-6)
