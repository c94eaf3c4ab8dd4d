"""Windows of time as callers write them: `from` and `to`, half-open, in UTC."""

from __future__ import annotations

import datetime as dt
import re
from dataclasses import dataclass

FIRST_YEAR, LAST_YEAR = 2000, 2100

_FORM = re.compile(
    r"(?P<date>[0-9]{4}-[0-9]{2}-[0-9]{2})"
    r"(?:T(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2})"
    r"(?::(?P<second>[0-9]{2})(?:\.(?P<fraction>[0-9]{1,6}))?)?"
    r"(?P<zone>Z|[+-][0-9]{2}:[0-9]{2})?)?",
    re.ASCII,
)
_BARE_PLUS = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+ [0-9]{2}:?[0-9]{2}", re.ASCII)
_WANTED = "Write YYYY-MM-DD or YYYY-MM-DDTHH:MM[:SS[.ffffff]], with Z, an offset such as +02:00, or none for UTC."


class NotAnInstant(ValueError):
    """This text is not a valid timestamp; the message is the reason."""


class NotARange(ValueError):
    """These two timestamps are not a valid range; `errors` names each invalid parameter."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


def parse_instant(text: str, *, end: bool = False) -> dt.datetime:
    """Parse a timestamp, in UTC. A date means its midnight, or at the `end` of a range the next one.

    Narrower than ISO 8601 on purpose: no week dates, no 24:00, no leap second, no lower-case letters.

    :raises NotAnInstant: if the text has another form, or is outside the years 2000 to 2100
    """
    form = _FORM.fullmatch(text)
    if form is None:
        if _BARE_PLUS.fullmatch(text):
            raise NotAnInstant("A bare + in a URL is read as a space: write the offset's + as %2B.")
        raise NotAnInstant(_WANTED)
    try:
        date = dt.date.fromisoformat(form["date"])
        moment = dt.datetime.combine(date, _time_of(form), tzinfo=_zone_of(form))
    except NotAnInstant:
        raise
    except ValueError:
        raise NotAnInstant("There is no such date or time.") from None
    if not FIRST_YEAR <= date.year <= LAST_YEAR:
        raise NotAnInstant(f"The year must lie from {FIRST_YEAR} to {LAST_YEAR}.")
    if end and is_date(text):
        moment += dt.timedelta(days=1)
    return moment.astimezone(dt.UTC)


def is_date(text: str) -> bool:
    """Return whether a text that `parse_instant` accepts is a date without a time."""
    return "T" not in text


def _time_of(form: re.Match[str]) -> dt.time:
    return dt.time(
        int(form["hour"] or 0),
        int(form["minute"] or 0),
        int(form["second"] or 0),
        int((form["fraction"] or "").ljust(6, "0")),
    )


def _zone_of(form: re.Match[str]) -> dt.timezone:
    zone = form["zone"]
    if zone in {None, "Z"}:
        return dt.UTC
    hours, minutes = int(zone[1:3]), int(zone[4:6])
    if minutes > 59 or (hours, minutes) > (14, 0):
        raise NotAnInstant("An offset from UTC is at most 14:00 either way.")
    offset = dt.timedelta(hours=hours, minutes=minutes)
    return dt.timezone(-offset if zone[0] == "-" else offset)


@dataclass(frozen=True)
class TimeRange:
    """A half-open window `[start, end)`; a side that is None is open."""

    start: dt.datetime | None = None
    end: dt.datetime | None = None

    @classmethod
    def parse(cls, start: str | None, end: str | None, *, names: tuple[str, str] = ("from", "to")) -> TimeRange:
        """Parse both sides as a caller wrote them; None leaves a side open.

        :raises NotARange: if a side is invalid, or the first is not before the second
        """
        errors: dict[str, str] = {}
        sides: list[dt.datetime | None] = []
        for name, text, is_end in ((names[0], start, False), (names[1], end, True)):
            try:
                sides.append(None if text is None else parse_instant(text, end=is_end))
            except NotAnInstant as error:
                errors[name] = str(error)
        if errors:
            raise NotARange(errors)
        return cls(sides[0], sides[1]).in_order(names=names)

    def in_order(self, *, names: tuple[str, str] = ("from", "to")) -> TimeRange:
        """Return this range if it is not empty; used after defaults have been filled in, too.

        :raises NotARange: if `start` is not before `end`
        """
        if self.start is not None and self.end is not None and self.start >= self.end:
            raise NotARange({names[0]: f"'{names[0]}' must be earlier than '{names[1]}'."})
        return self
