"""What the one search of the back office finds: a table of finders, to which every app adds its own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeVar

from django.db.models import Model

from config.backoffice.filters import as_id
from config.backoffice.links import name_of, page_url

MOST_SHOWN = 10
"""Rows of one kind that the page shows; a finder reads one more, to know whether there are more."""
MOST_READ = MOST_SHOWN + 1


Found = TypeVar("Found")


@dataclass(frozen=True)
class Term:
    """What is searched for, without the email of a customer before or after it, to whom `customers` then narrow it."""

    text: str
    customers: tuple[int, ...] | None = None
    _read: dict[str, Any] = field(default_factory=dict, compare=False, repr=False)
    is_only_id: bool = False  # a kind stands before it (`entry 17`): names that look like the id are not meant

    def once(self, key: str, read: Callable[[], Found]) -> Found:
        """Return what `read` returned first under this key: several finders may need one look-up."""
        if key not in self._read:
            self._read[key] = read()
        return self._read[key]  # type: ignore[no-any-return]

    @cached_property
    def id(self) -> int | None:
        """The term as the id of a row; None if it is none."""
        return as_id(self.text.removeprefix("#"))

    @cached_property
    def uuid(self) -> uuid.UUID | None:
        try:
            return uuid.UUID(self.text)
        except ValueError:
            return None


@dataclass(frozen=True)
class Hit:
    """One thing that was found: the address of its page, its name, and what tells it from others."""

    url: str
    title: str
    note: str = ""


@dataclass(frozen=True)
class Finder:
    """One kind of thing that is found by what support staff are given.

    `find` returns at most MOST_READ hits, each by an index or within a bound that `limits` states. A finder that
    `claims` a text is the only one to read it: it returns the part that may be shown and recorded, or None.
    """

    kind: str
    permission: str
    find: Callable[[Term], Sequence[Hit]]
    by: str  # by what it is found, for the page's help
    word: str  # before a term, it asks for this kind alone: `entry 17`
    limits: str = ""
    claims: Callable[[str], str | None] = lambda _: None
    is_of_people: bool = False  # whether it alone is asked for a person's email
    is_recorded: bool = False  # whether the staff log tells who found something in this way


finders: list[Finder] = []
"""All of them, in the order of the page; filled by `register_finders`."""


def register_finders(*more: Finder) -> None:
    finders.extend(more)


def hit(row: Model, title: str, *notes: Any) -> Hit:
    """Return a hit that leads to a row's own page; empty notes are left out."""
    return Hit(page_url(name_of(row), row.pk), title, " · ".join(str(note) for note in notes if note not in (None, "")))
