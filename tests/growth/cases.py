"""A case for every call about a customer: the API's routes, the back office's pages, the commands.

A new route or command gets its case here; one that costs more for a long history is improved, or states how much it
may read at most and why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from tests.growth.measuring import cost_of
from tests.journeys.access_table import World

MOST = 1_000
"""Buffers that any call may read, however short the history and however many rows all customers have in total."""


@dataclass(frozen=True)
class Case:
    """One call, and its preparation.

    Usually it reads at most MOST buffers, and for a customer with a long history at most twice the buffers, by at most
    twice the statements, of one with a short one. Where it may read more, `most` says how many buffers at most,
    `per_row` how many more for each row of the long history, and `why` is the reason.
    """

    call: Callable[[World], Any]
    prepare: Callable[[World], Any] = lambda world: None
    most: int | None = None
    per_row: float = 0.0
    why: str = ""

    def __post_init__(self) -> None:
        assert (self.most is None) == (self.why == ""), "An exception says how much, and why."

    def check(self, short: World, long: World, *, rows: int) -> None:
        """Make the call for both customers, and compare."""
        small, big = (cost_of(partial(self.call, each), prepare=partial(self.prepare, each)) for each in (short, long))

        assert big.statements <= 2 * small.statements, (small, big)
        if self.most is None:
            assert big.buffers <= min(2 * small.buffers, MOST), (small, big)
        else:
            assert big.buffers <= self.most + self.per_row * rows, (small, big)


@dataclass(frozen=True)
class NotMeasured:
    """A route or command that does not depend on a customer's history."""

    why: str
