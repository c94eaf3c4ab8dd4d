"""Random events on a customer's money: many more, and longer, than the suite tries."""

import pytest

from tests.ledger.test_money_as_a_machine import ANYTHING, check_lives


@ANYTHING
@pytest.mark.parametrize("first", range(10, 20))
def test_any_order_of_events_leaves_in_each_grant_what_the_model_says(first):
    check_lives(examples=500, events=100, checked_every=5, first=first)
