"""Purchases, refunds, disputes, grants that end, overdrafts, holds, reloads and a subscription, in any order."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

from tests.ledger.money_machine import EVENTS, live, owners_database

ANYTHING = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


def check_lives(*, examples: int, events: int, checked_every: int, first: int) -> None:
    """Run that many customers through that many events each; the same `first` always gives the same events.

    The books of some of them are also reconciled. A failure is reported as found: to shorten it takes minutes.
    """
    counter = itertools.count()

    @seed(first)
    @settings(
        max_examples=examples,
        phases=[Phase.generate],
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.lists(EVENTS, min_size=events, max_size=events),
        st.sampled_from([0, 15]),
        st.sampled_from([0, None]),
    )
    def check(happening: list[tuple[str, int]], limit: int, cap: int | None) -> None:
        live(happening, limit=limit, cap=cap, is_checked=next(counter) % checked_every == 0)

    with owners_database():
        check()


@ANYTHING
@pytest.mark.parametrize("first", [1, 2])  # so that two cores share them
def test_any_order_of_events_leaves_in_each_grant_what_the_model_says(first):
    check_lives(examples=100, events=50, checked_every=20, first=first)  # tests/torture tries more
