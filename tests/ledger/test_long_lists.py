"""Lists of more rows than are counted one by one: `count` is null, and pages go on to the end."""

from __future__ import annotations

import pytest

from config.db import counting
from config.db.counting import MOST_COUNTED
from ledger import listings
from tests.account import client_of
from tests.factories import give
from tests.ledger.tampering import tamper
from tests.usage.metering import charge, price

pytestmark = pytest.mark.django_db(transaction=True)
HOLDS, LEDGER = "/auth/account/holds", "/auth/account/ledger"


def with_holds(user, count: int) -> None:
    tamper(
        "INSERT INTO ledger_hold (user_id, credits, status, expires_at, settled_at, idempotency_key, fingerprint,"
        " created_at) SELECT %s, 1, 'released', now(), now(), 'hold-' || g, '\\x00', now()"
        " FROM generate_series(1, %s) g",
        user.pk,
        count,
    )


def walked(client, path: str) -> list[int]:
    """Follow `next` to the end."""
    found = []
    while path is not None:
        page = client.get(path).json()
        found += [each["id"] for each in page["results"]]
        path = page["next"]
    return found


@pytest.mark.parametrize(("more", "count"), [(0, MOST_COUNTED), (1, None)])
def test_a_list_is_counted_while_it_is_short(alice, more, count):
    with_holds(alice, MOST_COUNTED + more)
    client = client_of(alice)

    page = client.get(HOLDS, {"limit": 100}).json()

    assert page["count"] == count
    assert page["next"] is not None
    assert client.get(HOLDS, {"status": "open"}).json()["count"] == 0
    assert client.get(HOLDS, {"status": "released"}).json()["count"] == count


def test_a_list_that_is_not_counted_is_walked_to_its_end(alice):
    with_holds(alice, MOST_COUNTED + 1)
    client = client_of(alice)

    ids = walked(client, f"{HOLDS}?limit=100")
    behind = client.get(HOLDS, {"limit": 100, "offset": MOST_COUNTED}).json()
    beyond = client.get(HOLDS, {"limit": 100, "offset": MOST_COUNTED + 1}).json()

    assert len(set(ids)) == len(ids) == MOST_COUNTED + 1
    assert ids == sorted(ids, reverse=True)
    assert (len(behind["results"]), behind["next"]) == (1, None)
    assert (beyond["results"], beyond["next"]) == ([], None)


@pytest.fixture
def _count_at_most_three(monkeypatch):
    """Count no further than three entries; the counting statements are built anew before and after."""
    for module in (counting, listings):
        monkeypatch.setattr(module, "MOST_COUNTED", 3)
    counts = (listings._count, listings._count_of_others)
    for statement in counts:
        statement.cache_clear()
    yield
    for statement in counts:
        statement.cache_clear()


@pytest.mark.usefixtures("_count_at_most_three")
def test_entries_of_a_type_are_counted_while_few_are_no_debits(alice):
    price("search", 1)
    for _ in range(4):
        charge(alice)
    for _ in range(3 - alice.entries.filter(type="credit").count()):
        give(alice, 5)
    client = client_of(alice)

    few = [client.get(LEDGER, {"type": each}).json()["count"] for each in ("credit", "debit")]
    give(alice, 1)
    many = [client.get(LEDGER, {"type": each}).json()["count"] for each in ("credit", "debit")]

    assert (few, many) == ([3, 4], [None, None])
    assert client.get(LEDGER).json()["count"] == 8
