"""Balances are filled by the names of the query's columns, which are those of `CreditBalance`."""

from __future__ import annotations

from decimal import Decimal

import pytest

from config.db.prepared import read_with_names
from ledger import selectors
from ledger.selectors import BALANCE_COLUMNS, BALANCE_QUERY, balance_of
from tests.account import give
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


def test_the_balance_query_has_a_column_for_each_field_of_a_balance_and_no_other():
    columns = read_with_names(BALANCE_QUERY, [UserFactory().pk]).columns

    assert sorted(columns) == sorted(BALANCE_COLUMNS)
    assert sorted(BALANCE_COLUMNS) == [
        "auto_reload_amount",
        "auto_reload_enabled",
        "auto_reload_threshold",
        "balance",
        "granted_total",
        "last_updated",
        "reserved",
    ]


def test_a_balance_is_the_same_when_the_columns_of_its_query_change_places(monkeypatch):
    alice = UserFactory()
    give(alice, 12)
    before = balance_of(user_id=alice.pk)
    backwards = ", ".join(reversed(BALANCE_COLUMNS))
    monkeypatch.setattr(selectors, "BALANCE_QUERY", f"SELECT 7 AS more, {backwards} FROM ({BALANCE_QUERY}) asked")

    assert balance_of(user_id=alice.pk) == before
    assert before.balance == Decimal(12)


def test_a_balance_whose_query_lacks_a_column_is_an_error_that_names_it(monkeypatch):
    monkeypatch.setattr(selectors, "BALANCE_QUERY", BALANCE_QUERY.replace(" AS reserved", " AS held"))

    with pytest.raises(KeyError, match="reserved"):
        balance_of(user_id=UserFactory().pk)
