"""Time that the first grant with an end, and what follows, takes on a history too long for an ordinary test.

Run it alone, on a quiet machine, to see the figures: `pytest tests/torture/test_long_grant_histories.py -n 0 -s`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import pytest
from django.core.management import call_command
from django.db import connection

from ledger.selectors import balance_of
from tests.conftest import owner_connection
from tests.factories import customer_with
from tests.ledger.bulk import write_debits, write_refunded_debits
from tests.ledger.granting import end, granted, left
from tests.usage.metering import charge

pytestmark = pytest.mark.django_db(transaction=True)

HISTORIES = {
    "100,000 charges, each refunded": lambda user_id: write_refunded_debits(user_id, 100_000),
    "5,000,000 debits": lambda user_id: write_debits(user_id, 5_000_000),
}
SECONDS = 2
"""Far more than a quiet machine takes, and far less than a statement may."""


@pytest.mark.parametrize("history", HISTORIES)
def test_a_long_history_delays_no_call(history):
    alice = customer_with(1_000)
    HISTORIES[history](alice.pk)
    with owner_connection(autocommit=True) as owner:
        owner.execute("VACUUM ANALYZE ledger_entry")
    with connection.cursor() as cursor:  # a server that has answered before
        cursor.execute("SELECT 1")
    balance_of(user_id=alice.pk)

    gift = _took(history, "the first grant with an end", lambda: granted(alice, 50, days=1))
    _took(history, "a charge before its end", lambda: charge(alice, credits=20))
    end(gift)
    before = _took(history, "GET credits after its end", lambda: balance_of(user_id=alice.pk)).balance
    _took(history, "the first charge after its end", lambda: charge(alice, credits=1))
    _took(history, "the next charge", lambda: charge(alice, credits=1))
    after = _took(history, "GET credits then", lambda: balance_of(user_id=alice.pk)).balance
    _took(history, "expire_grants, which settles all of it", lambda: call_command("expire_grants"), most=120)

    assert after == before - 2
    assert left(alice)[gift.pk] == 0
    assert sum(left(alice).values()) == after


def _took(history: str, what: str, do: Callable[[], Any], *, most: float = SECONDS) -> Any:
    started = time.monotonic()
    done = do()
    seconds = time.monotonic() - started
    sys.stdout.write(f"{history}: {what}: {seconds:.3f} s\n")
    assert seconds < most
    return done
