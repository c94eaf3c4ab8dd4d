"""Entries, holds, charges and refunds in any order: many more orders than the suite tries."""

import pytest

from tests.ledger.test_rules_as_a_machine import check_orders

pytestmark = pytest.mark.django_db


def test_any_order_of_calls_leaves_what_the_model_says_and_books_that_reconcile():
    check_orders(examples=500)
