"""What waits for staff: a table of lines for the front page, to which every app adds its own."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.db import connection
from django.db.models import QuerySet

from config.backoffice.times import age_of

MOST_COUNTED = 1_000
"""Rows of a line that are counted: an index has them, and the page says when there are more."""


@dataclass(frozen=True)
class ToDo:
    """One line: rows that wait for staff, since when, and the list that has exactly these.

    `rows` are found by an index, however many others the table has. They end before `now`.
    """

    name: str  # unique
    title: str
    permission: str  # to view the list
    rows: Callable[[dt.datetime], QuerySet[Any]]
    since: str  # the field of `rows` that says since when each waits
    url: Callable[[dt.datetime], str]
    advice: str  # what to do
    is_urgent: bool = False


@dataclass(frozen=True)
class Line:
    """One line with rows: how many, and since when the oldest waits."""

    to_do: ToDo
    count: int
    oldest: dt.datetime
    url: str
    waits: str

    @property
    def shown_count(self) -> str:
        return f"{MOST_COUNTED:,}+" if self.count > MOST_COUNTED else f"{self.count:,}"


to_dos: list[ToDo] = []
"""All of them, in no order; filled by `register_to_dos`."""


def register_to_dos(*more: ToDo) -> None:
    to_dos.extend(more)


def lines_for(viewer: Any, *, now: dt.datetime) -> list[Line]:
    """Return the lines with rows that this member of staff may list, urgent ones first, then the oldest.

    It is one statement, however many lines there are.
    """
    asked = {to_do.name: to_do for to_do in to_dos if viewer.has_perm(to_do.permission)}
    if not asked:
        return []
    counts = [_count_of(to_do, now) for to_do in asked.values()]
    with connection.cursor() as cursor:
        cursor.execute(
            " UNION ALL ".join(query for query, _ in counts), [value for _, values in counts for value in values]
        )
        found = cursor.fetchall()
    lines = [
        Line(asked[name], count, oldest, asked[name].url(now), age_of(oldest, now))
        for name, count, oldest in found
        if count
    ]
    return sorted(lines, key=lambda line: (not line.to_do.is_urgent, line.oldest))


def _count_of(to_do: ToDo, now: dt.datetime) -> tuple[str, list[Any]]:
    rows = to_do.rows(now).order_by(to_do.since).values_list(to_do.since, flat=True)[: MOST_COUNTED + 1]
    query, values = rows.query.sql_with_params()
    return f"SELECT %s, count(*), min(since) FROM ({query}) AS waiting (since)", [to_do.name, *values]
