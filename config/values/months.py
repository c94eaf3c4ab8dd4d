"""A month as people write it: `2026-11`."""

from __future__ import annotations

import datetime as dt
import re

_FORM = re.compile(r"(?P<year>20[0-9]{2})-(?P<month>0[1-9]|1[0-2])", re.ASCII)


class NotAMonth(ValueError):
    """This text is not a month; the text of the error is a sentence."""


def parse_month(text: str) -> dt.date:
    """Parse a month of the years 2000 to 2099, and return its first day.

    :raises NotAMonth: if it is anything else
    """
    form = _FORM.fullmatch(text.strip())
    if form is None:
        raise NotAMonth("Write a month as YYYY-MM, such as 2026-11.")
    return dt.date(int(form["year"]), int(form["month"]), 1)
