"""What the hot statements read on an account with 1,000,000 entries and requests: no more than on a small one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.config.hot_calls import CALLS, UNKNOWN_TO_THE_YOUNG
from tests.config.long_histories import STATISTICS, Account, long_history

# A thousand of the million entries are credits. Where statistics know of nothing but credits, all of these may be read
# and sorted, until autovacuum has updated them.
MANY_TO_THE_YOUNG = UNKNOWN_TO_THE_YOUNG | {"ledger, credits", "ledger, credits by cursor"}


@pytest.fixture(scope="module", params=STATISTICS)
def account(request, django_db_setup, django_db_blocker) -> Iterator[Account]:
    with django_db_blocker.unblock(), long_history(rows=1_000_000, statistics=request.param) as grown:
        yield grown


@pytest.mark.parametrize("name", CALLS)
def test_a_million_rows_cost_no_more_than_a_few(account, name):
    if account.is_young and name in MANY_TO_THE_YOUNG:
        pytest.skip("Too little is known of types yet.")

    CALLS[name].check(account)
