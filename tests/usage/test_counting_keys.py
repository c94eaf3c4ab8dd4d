"""A key's spending is counted when its limit is set, outside of any charge; concurrent charges are counted once."""

import datetime as dt
import threading
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import ApiKey
from accounts.services.keys.own_keys import rotate_own_key
from ledger.errors import InsufficientCredits
from tests.conftest import owner_connection
from tests.factories import customer_with, give
from tests.ledger.tampering import tamper
from tests.usage.key_limits import LimitedKey, limit, limited_key
from tests.usage.metering import captured, charge, price, refund
from usage.key_verdicts import verdict_on
from usage.models import KeySpending

DAY = dt.timedelta(days=1)

pytestmark = pytest.mark.usefixtures("every_promise_is_kept")


@pytest.fixture
def alice(db):
    price("search", 1)
    return customer_with(1000)


def counted(key):
    api_key = ApiKey.objects.get(pk=key.id)
    return [
        (row.credits, row.next_credits)
        for row in KeySpending.objects.filter(api_key_id=api_key.original_id or api_key.pk).order_by("began_on")
    ]


def reads_of_log():
    """Return how many rows of the log this transaction has read."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT coalesce(sum(seq_tup_read + idx_tup_fetch), 0) FROM pg_stat_xact_user_tables"
            " WHERE relname LIKE 'usage\\_requestlog%%'"
        )
        return cursor.fetchone()[0]


class TestTheCount:
    def test_count_exists_when_a_limit_is_set_and_the_first_charge_reads_no_log(self, alice):
        key = limited_key(alice, None)
        for _ in range(50):
            key.charge(1)
        refund(captured(key.hold(4)).entry_id, 1)

        limit(key, 100)
        assert counted(key) == [(53, 0)]
        before = reads_of_log()
        key.charge(5)

        assert reads_of_log() == before
        assert (key.spent, key.left) == (58, 42)

    def test_count_exists_when_the_reset_day_is_changed(self, alice):
        today = timezone.now()
        key = limited_key(alice, 10, reset_day=(today + DAY).day)
        key.report(7, at=today - DAY)
        key.charge(1)

        limit(key, 10, reset_day=today.day)
        before = reads_of_log()
        key.charge(9)

        assert reads_of_log() == before
        with pytest.raises(InsufficientCredits):
            key.charge(1)

    def test_count_is_handed_on_by_rotation_when_only_the_new_key_is_limited(self, alice):
        old = limited_key(alice, None)
        old.charge(6)
        new = LimitedKey(rotate_own_key(user_id=alice.pk, key_id=old.id, grace=DAY, now=timezone.now()))

        limit(new, 10)
        old.charge(3)
        before = reads_of_log()
        new.charge(1)

        assert reads_of_log() == before
        assert (counted(new), new.left) == ([(10, 0)], 0)

    @pytest.mark.django_db(transaction=True)
    def test_count_includes_spending_since_the_reset_day(self, alice):
        """The last period's count has continued into this one, in which the limit has not been read yet."""
        key = limited_key(alice, 10, reset_day=timezone.now().day)
        key.charge(4)
        tamper(
            "UPDATE usage_keyspending SET next_on = began_on, next_credits = credits, began_on = began_on - 28,"
            " counted_on = counted_on"
        )

        key.report(2)
        paid = key.charge(1)
        refund(paid.id, "0.5")

        assert key.left == 3
        assert counted(key) == [(Decimal("6.5"), 0)]

    @pytest.mark.django_db(transaction=True)
    def test_count_of_an_uncounted_key_is_made_outside_of_the_charge(self, alice):
        key = limited_key(alice, 10)
        key.charge(4)
        tamper("DELETE FROM usage_keyspending")

        with pytest.raises(InsufficientCredits):
            key.charge(7)
        key.hold(6)

        assert (key.spent, key.left) == (4, 0)

    def test_count_is_not_read_where_no_key_has_a_limit(self, alice):
        key = limited_key(alice, None)
        for _ in range(20):
            key.charge(1)
        before = reads_of_log()

        verdict = verdict_on(key_hash=key.hash, endpoint="search", method="", units=Decimal(1))

        assert (verdict.code, verdict.budget) == ("valid", None)
        assert reads_of_log() == before


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_batched", [False, True], ids=["one by one", "charged together"])
def test_spending_while_a_limit_is_being_counted_is_counted_once(alice, settings, is_batched):
    """The count is paused after it has read the log, while charges, captures, refunds and reports continue."""
    settings.CHARGE_BATCHING = is_batched
    key, other = limited_key(alice, None), limited_key(alice, None)
    first, opened = key.charge(10), key.hold(20)
    with owner_connection(autocommit=True) as owner, owner_connection() as gate:
        gate.execute("SELECT pg_advisory_xact_lock(77)")
        try:
            for statement in SLOW_COUNT:
                owner.execute(statement, prepare=False)
            with ThreadPoolExecutor(max_workers=1) as pool:
                counting = pool.submit(_in_thread, lambda: limit(key, 500))
                _wait_until_somebody_waits(owner)
                key.charge(1)
                key.charge(2)
                other.charge(4)
                charge(alice, units=Decimal(8))
                captured(opened, credits=Decimal(16))
                key.report(32)
                refund(first.id, 3)
                gate.rollback()
                counting.result(timeout=30)
        finally:
            for statement in QUICK_COUNT:
                owner.execute(statement, prepare=False)

    spent = 10 + 1 + 2 + 16 + 32 - 3
    assert counted(key) == [(spent, 0)]
    key.charge(100)
    assert key.spent == spent + 100


@pytest.mark.django_db(transaction=True)
def test_limits_set_while_charges_run_lose_and_double_nothing(alice):
    give(alice, 1_000_000)
    key = limited_key(alice, None)
    stop = threading.Event()

    def charge_on():
        made = 0
        while not stop.is_set():
            key.charge(1)
            made += 1
        return made

    with ThreadPoolExecutor(max_workers=3) as pool:
        charging = [pool.submit(_in_thread, charge_on) for _ in range(3)]
        for number in range(12):
            tamper("DELETE FROM usage_keyspending")
            limit(key, None)
            limit(key, 900_000 + number)
        stop.set()
        made = sum(future.result(timeout=60) for future in charging)

    assert counted(key) == [(made, 0)]


# usage_key_spent, with which the count reads the log, paused at a gate after it has read it.
SLOW_COUNT = (
    "ALTER FUNCTION usage_key_spent(bigint, bigint, date) RENAME TO usage_key_spent_at_once",
    """CREATE FUNCTION usage_key_spent(p_user_id bigint, p_original_key_id bigint, p_began_on date) RETURNS numeric
    LANGUAGE plpgsql STABLE AS $$
    DECLARE v_spent numeric := usage_key_spent_at_once(p_user_id, p_original_key_id, p_began_on);
    BEGIN PERFORM pg_advisory_xact_lock_shared(77); RETURN v_spent; END $$""",
)
QUICK_COUNT = (
    "DROP FUNCTION usage_key_spent(bigint, bigint, date)",
    "ALTER FUNCTION usage_key_spent_at_once(bigint, bigint, date) RENAME TO usage_key_spent",
)


def _in_thread(work):
    try:
        return work()
    finally:
        connection.close()


def _wait_until_somebody_waits(owner):
    for _ in range(500):
        if owner.execute("SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall():
            return
        threading.Event().wait(0.01)
    raise AssertionError("the count was not held up")
