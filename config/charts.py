"""Charts: a table of numbers by day that a script draws as a picture (`templates/charts/chart.html`)."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal

from config.values.credits import plain

LARGEST, OTHERS = 5, "others"  # as many groups as there are colours; the rest is one


@dataclass(frozen=True)
class Series:
    """One colour of a chart: a number for each day."""

    name: str
    values: tuple[Decimal, ...]

    @property
    def total(self) -> Decimal:
        return sum(self.values, Decimal(0))


@dataclass(frozen=True)
class Row:
    """One day of the chart's table."""

    day: dt.date
    cells: tuple[tuple[str, str], ...]  # the number as a script reads it, and as people do

    @property
    def seconds(self) -> int:
        """Return the start of the day in UTC as seconds since 1970."""
        return int(dt.datetime.combine(self.day, dt.time(), dt.UTC).timestamp())


@dataclass(frozen=True)
class Chart:
    """Bars by day, the series of one day stacked on each other, with the same numbers as a table."""

    title: str
    unit: str
    days: tuple[dt.date, ...]
    series: tuple[Series, ...]
    empty: str = "Nothing in these days."

    def __post_init__(self) -> None:
        if any(len(each.values) != len(self.days) for each in self.series):
            raise ValueError("Each series needs one value a day.")

    @property
    def is_empty(self) -> bool:
        return not any(value for each in self.series for value in each.values)

    @property
    def rows(self) -> list[Row]:
        """Return the table's rows, the newest day first."""
        rows = [
            Row(day, tuple((f"{plain(each.values[number]):f}", shown(each.values[number])) for each in self.series))
            for number, day in enumerate(self.days)
        ]
        return rows[::-1]

    @property
    def summary(self) -> str:
        """Return the picture in one sentence, for people who do not see it."""
        total = sum((each.total for each in self.series), Decimal(0))
        return f"{self.title}: {shown(total)} {self.unit} from {self.days[0]} to {self.days[-1]}." if self.days else ""


def by_day(
    *,
    title: str,
    unit: str,
    first: dt.date,
    last: dt.date,
    groups: Mapping[str, Mapping[dt.date, Decimal]],
    empty: str = "Nothing in these days.",
) -> Chart:
    """Make a chart of the days from `first` to `last`, both included; a day without a number is 0.

    The `LARGEST` groups keep their names, largest first; what the others have is added up as one.
    """
    days = tuple(first + dt.timedelta(days=number) for number in range((last - first).days + 1))
    all_series = sorted((_series(name, numbers, days) for name, numbers in groups.items()), key=_largest_first)
    named = all_series if len(all_series) <= LARGEST else all_series[: LARGEST - 1]
    rest = all_series[len(named) :]
    if rest:
        columns = zip(*(each.values for each in rest), strict=True)
        named = [*named, Series(OTHERS, tuple(sum(column, Decimal(0)) for column in columns))]
    return Chart(title=title, unit=unit, days=days, series=tuple(named), empty=empty)


def shown(number: Decimal) -> str:
    """Return a number for people: at most two places, as a picture shows it."""
    return f"{plain(round(number, 2)):,f}"


def _series(name: str, numbers: Mapping[dt.date, Decimal], days: Sequence[dt.date]) -> Series:
    return Series(name, tuple(Decimal(numbers.get(day, 0)) for day in days))


def _largest_first(series: Series) -> tuple[Decimal, str]:
    return -series.total, series.name
