"""The front page reads no more of a company with 1,000,000 entries and requests than of one with a tenth of them."""

from __future__ import annotations

import pytest

from tests.growth.pages import cost_of_front_page
from tests.module_data import quick_passwords

pytestmark = pytest.mark.slow
ROWS = 1_000_000


def test_the_front_page_reads_at_most_twice_as_much_of_a_million(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock(), quick_passwords():
        tenth, whole = cost_of_front_page(ROWS // 10), cost_of_front_page(ROWS)

    assert whole.buffers <= 2 * tenth.buffers, (tenth, whole)
    assert whole.statements == tenth.statements <= 15, (tenth, whole)
