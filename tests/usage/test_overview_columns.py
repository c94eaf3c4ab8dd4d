"""The summary's one row is read by the names of its columns, each of which occurs once."""

from __future__ import annotations

import datetime as dt

import pytest

from config.db import prepared
from ledger.selectors import BALANCE_COLUMNS
from tests.factories import UserFactory
from usage import selectors

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 5, 20, 12, tzinfo=dt.UTC)
LIFE = {*BALANCE_COLUMNS, "successful", "failed"}


@pytest.fixture
def asked(monkeypatch):
    """The columns of each statement that the selectors read by name."""
    columns: list[tuple[str, ...]] = []

    def read(statement, values):
        rows = prepared.read_with_names(statement, values)
        columns.append(rows.columns)
        return rows

    monkeypatch.setattr(selectors, "read_with_names", read)
    return columns


def test_lifetime_totals_are_read_from_a_column_for_each_name(asked):
    selectors.lifetime_totals_of(user_id=UserFactory().pk)

    assert [sorted(columns) for columns in asked] == [sorted(LIFE)]


def test_an_overview_has_each_column_that_is_read_by_name_once(asked):
    selectors.overview_of(user_id=UserFactory().pk, start=NOW - dt.timedelta(days=3), end=NOW, now=NOW)

    (columns,) = asked
    by_name = LIFE | {"endpoints", "successes", "failures", "costs"}
    assert {name: columns.count(name) for name in by_name} == dict.fromkeys(by_name, 1)
    assert set(columns[: len(by_name)]) == by_name
