"""The front page costs the same whatever the company has: ten times the entries and requests, no more buffers.

With 1,000,000: tests/torture/test_front_page_of_a_million.py.
"""

from __future__ import annotations

import pytest

from tests.growth.measuring import Cost
from tests.growth.pages import cost_of_front_page
from tests.module_data import quick_passwords

ROWS = 20_000


@pytest.fixture(scope="module")
def costs(django_db_setup, django_db_blocker) -> tuple[Cost, Cost]:
    with django_db_blocker.unblock(), quick_passwords():
        return cost_of_front_page(ROWS // 10), cost_of_front_page(ROWS)


def test_the_front_page_reads_at_most_twice_as_much_of_ten_times_the_rows(costs):
    tenth, whole = costs

    assert whole.buffers <= 2 * tenth.buffers, costs


def test_the_front_page_takes_fifteen_statements_at_most(costs):
    assert max(cost.statements for cost in costs) <= 15, costs
