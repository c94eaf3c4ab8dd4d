"""How much hot statements read on an account with 50,000 entries and requests (1,000,000: tests/torture).

Whatever the statistics: fresh ones, or those of a young installation, with one entry a customer, after which the
account grew. (Statistics that know of no debit at all are the exception: see UNKNOWN_TO_THE_YOUNG.)
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.db import connections

from tests.config.explaining import explained
from tests.config.hot_calls import CALLS, MOST_BUFFERS, UNKNOWN_TO_THE_YOUNG
from tests.config.long_histories import STATISTICS, Account, long_history


@pytest.fixture(scope="module", params=STATISTICS)
def account(request, django_db_setup, django_db_blocker) -> Iterator[Account]:
    with django_db_blocker.unblock(), long_history(rows=50_000, statistics=request.param) as grown:
        yield grown


@pytest.mark.parametrize("name", CALLS)
def test_a_long_history_costs_no_more_than_a_short_one(account, name):
    if account.is_young and name in UNKNOWN_TO_THE_YOUNG:
        pytest.skip("Nothing is known of debits yet.")

    CALLS[name].check(account)


def test_a_statement_that_reads_too_much_is_detected(account):
    with explained() as readings, connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger_entry WHERE description <> %s", ["x"])

    assert readings[0].buffers > MOST_BUFFERS
    assert readings[0].scanned == ["ledger_entry"]
