"""Pages of the ledger, compared with a list that is simply filtered and cut."""

import datetime as dt
import random
from decimal import Decimal

import pytest
from django.db import connection

from ledger.models import Entry
from ledger.selectors import ledger_of
from tests.factories import give
from tests.ledger.posting import post
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request

pytestmark = pytest.mark.django_db
MICROSECOND = dt.timedelta(microseconds=1)


@pytest.fixture
def history(alice, bob):
    """Create 60 entries for Alice, of all types, some with a reference, among Bob's; return hers, newest first."""
    chance = random.Random(7)
    for number in range(59):
        reference = chance.choice([None, "r1", "r2"])
        match chance.choice("cadd"):
            case "c":
                post(alice, 3, type="credit", reason="purchase", reference=reference)
            case "a":
                post(alice, -1, reference=reference)
            case "d":
                charge_request(
                    AskedCharge(
                        user_id=alice.pk,
                        endpoint="search",
                        credits=Decimal("0.5"),
                        idempotency_key=f"key {number}",
                        reference=reference,
                    )
                )
        if number % 10 == 0:
            give(bob, 1)
    return list(Entry.objects.filter(user=alice).order_by("-seq"))


def first_seq_at(user, at):
    with connection.cursor() as cursor:
        cursor.execute("SELECT ledger_first_seq_at(%s, %s)", [user.pk, at])
        return cursor.fetchone()[0]


def drained(pages, *, limit):
    """Follow the cursors to the end."""
    found = pages.page(limit=limit, offset=0)
    while len(found) == 0 or len(found) % limit == 0:
        if not found or not (following := pages.after(pages.position_of(found[-1]), limit=limit)):
            break
        found += following
    return found


@pytest.mark.parametrize("seed", range(8))
def test_every_filter_page_and_cursor_matches_a_plain_list(alice, history, seed):
    chance = random.Random(seed)
    moments = [entry.created_at + shift for entry in history for shift in (-MICROSECOND, MICROSECOND, 0 * MICROSECOND)]

    for _ in range(12):
        type = chance.choice([None, "credit", "debit", "adjustment"])
        reference = chance.choice([None, None, "r1", "unknown"])
        start, end = (chance.choice([None, chance.choice(moments)]) for _ in range(2))
        limit, offset = chance.choice([1, 7, 50, 100]), chance.choice([0, 1, 7, 59, 60, 61, 2_147_483_647])
        expected = [
            entry
            for entry in history
            if (type is None or entry.type == type)
            and (reference is None or entry.reference == reference)
            and (start is None or entry.created_at >= start)
            and (end is None or entry.created_at < end)
        ]

        pages = ledger_of(user_id=alice.pk, type=type, reference=reference, start=start, end=end)

        assert pages.count() == len(expected)
        assert pages.page(limit=limit, offset=offset) == expected[offset : offset + limit]
        assert drained(pages, limit=limit) == expected
        assert list(pages.every(chunk=7)) == expected


def test_a_customer_without_entries_has_empty_pages(bob):
    pages = ledger_of(user_id=bob.pk)

    assert (pages.count(), pages.page(limit=50, offset=0), list(pages.every())) == (0, [], [])


def test_a_window_that_ends_before_it_starts_is_empty(alice, history):
    pages = ledger_of(user_id=alice.pk, start=history[0].created_at, end=history[-1].created_at)

    assert (pages.count(), pages.page(limit=50, offset=0), list(pages.every())) == (0, [], [])


def test_entries_that_come_meanwhile_do_not_shift_the_pages(alice, history):
    pages = ledger_of(user_id=alice.pk)

    give(alice, 1)

    assert pages.count() == 60
    assert pages.page(limit=10, offset=10) == history[10:20]


def test_another_customer_sees_none_of_the_entries(bob, history):
    assert {entry.user for entry in ledger_of(user_id=bob.pk).every()} == {bob}


@pytest.mark.parametrize("count", [0, 1, 2, 3, 8])
def test_the_first_entry_at_a_time_is_found_at_every_edge(bob, count):
    entries = [give(bob, 1) for _ in range(count)]

    for entry in entries:
        assert first_seq_at(bob, entry.created_at) == entry.seq
        assert first_seq_at(bob, entry.created_at - MICROSECOND) == entry.seq
        assert first_seq_at(bob, entry.created_at + MICROSECOND) == entry.seq + 1
    assert first_seq_at(bob, dt.datetime(2000, 1, 1, tzinfo=dt.UTC)) == 1
    assert first_seq_at(bob, dt.datetime(2100, 1, 1, tzinfo=dt.UTC)) == count + 1


def test_counting_everything_reads_no_entries(alice, history, django_assert_num_queries):
    with django_assert_num_queries(1):
        assert ledger_of(user_id=alice.pk).count() == 60
