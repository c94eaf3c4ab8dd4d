"""What any call reads does not grow with the history of its customer: 1,000,000 requests and entries against 1,000."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.accounts.receivers import LOOPBACK
from tests.growth.every import CASES, Worlds, measured
from tests.growth.histories import two_customers
from tests.journeys.access_table import unlimited
from tests.module_data import quick_passwords

pytestmark = pytest.mark.slow
ROWS = 1_000_000


@pytest.fixture(scope="module")
def worlds(django_db_setup, django_db_blocker) -> Iterator[Worlds]:
    with django_db_blocker.unblock(), quick_passwords(), two_customers(rows=ROWS) as both:
        yield both


@pytest.fixture(autouse=True)
def _any_number_of_calls_may_pass(settings):
    unlimited(settings)
    settings.WEBHOOKS_MAY_REACH = [LOOPBACK]


@pytest.mark.parametrize("name", measured())
def test_a_call_reads_at_most_twice_as_much_when_a_million_rows_are_there(worlds, name):
    CASES[name].check(*worlds, rows=ROWS)
