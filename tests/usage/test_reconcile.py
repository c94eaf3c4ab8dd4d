"""Tampering past all triggers is found; see tests/ledger/test_seal.py for single fields of entries.

All tests run as the owner, in one transaction, with one shared history.
"""

import datetime as dt

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from config.rounds import Round
from ledger.models import Balance, Entry
from ledger.services.reconciliation.checks import LEDGER_CHECKS, Scope, correct_drift
from tests.factories import UserFactory, customer_with, give
from tests.growth.triggers import without_triggers
from tests.module_data import as_owner, module_data
from tests.usage.histories import MARCH, eventful, prices
from tests.usage.metering import charge, rolled_up
from usage.models import DailyUsage, RequestLog
from usage.services.reconciliation import ALL_CHECKS, USAGE_CHECKS, mend_sums, rebuild_sums, reconcile

pytestmark = pytest.mark.django_db

OF_ALICE = "user_id = (SELECT id FROM accounts_user WHERE email = 'alice@example.com')"
A_DEBIT = f"(SELECT min(id) FROM ledger_entry WHERE reason = 'usage' AND {OF_ALICE})"
A_REQUEST = f"(SELECT min(id) FROM usage_requestlog WHERE credits > 0 AND {OF_ALICE})"
TAMPERINGS = {
    f"DELETE FROM ledger_entry WHERE seq = 1 AND {OF_ALICE}": {"entry_follows_entry"},
    f"DELETE FROM ledger_entry WHERE seq = 3 AND {OF_ALICE}": {"entry_follows_entry"},
    f"DELETE FROM ledger_entry WHERE {OF_ALICE} AND seq = (SELECT max(seq) FROM ledger_entry WHERE {OF_ALICE})": {
        "balance_is_last_entry"
    },
    f"DELETE FROM ledger_entry WHERE {OF_ALICE}": {"balance_is_last_entry", "granted_total_adds_up"},
    f"UPDATE ledger_entry SET amount = amount + 1 WHERE seq = 2 AND {OF_ALICE}": {"balance_after_adds_up"},
    f"UPDATE ledger_entry SET balance_after = balance_after + 1 WHERE seq = 2 AND {OF_ALICE}": {
        "balance_after_adds_up"
    },
    f"UPDATE ledger_entry SET description = 'x' WHERE seq = 2 AND {OF_ALICE}": {"seal_fits_entry"},
    f"UPDATE ledger_entry SET created_at = now() + interval '1 hour' WHERE seq = 2 AND {OF_ALICE}": {
        "times_rise_with_seq"
    },
    f"UPDATE ledger_entry SET reason = 'usage' WHERE seq = 2 AND {OF_ALICE}": {
        "granted_total_adds_up",
        "debit_is_its_requests",
        "usage_is_the_ledger",
    },
    f"UPDATE ledger_entry SET reverses_id = {A_DEBIT} WHERE seq = 2 AND {OF_ALICE}": {"reversal_is_within_its_debit"},
    f"DELETE FROM ledger_entry WHERE id = {A_DEBIT}": {"request_has_its_debit", "usage_is_the_ledger"},
    f"UPDATE ledger_balance SET balance = balance + 1 WHERE {OF_ALICE}": {"balance_is_last_entry"},
    f"UPDATE ledger_balance SET seq = seq + 1 WHERE {OF_ALICE}": {"balance_is_last_entry"},
    f"UPDATE ledger_balance SET seal = sha256('x') WHERE {OF_ALICE}": {"balance_is_last_entry"},
    f"DELETE FROM ledger_balance WHERE {OF_ALICE}": {"balance_is_last_entry"},
    f"UPDATE ledger_balance SET granted_total = 0 WHERE {OF_ALICE}": {"granted_total_adds_up"},
    f"UPDATE ledger_balance SET reserved = reserved - 1 WHERE {OF_ALICE}": {"reserved_is_open_holds"},
    f"UPDATE ledger_hold SET status = 'released' WHERE status = 'open' AND {OF_ALICE}": {"reserved_is_open_holds"},
    f"UPDATE ledger_hold SET status = 'open' WHERE status = 'expired' AND {OF_ALICE}": {
        "reserved_is_open_holds",
        "next_expiry_is_not_late",
    },
    f"DELETE FROM ledger_hold WHERE status = 'open' AND {OF_ALICE}": {"reserved_is_open_holds"},
    f"UPDATE ledger_balance SET next_expiry_at = '9999-12-31Z' WHERE {OF_ALICE}": {"next_expiry_is_not_late"},
    f"DELETE FROM usage_requestlog WHERE id = {A_REQUEST}": {"debit_is_its_requests", "sums_are_the_log"},
    f"UPDATE usage_requestlog SET credits = credits + 1 WHERE id = {A_REQUEST}": {
        "debit_is_its_requests",
        "sums_are_the_log",
    },
    f"UPDATE usage_requestlog SET status = 500 WHERE id = {A_REQUEST}": {"sums_are_the_log"},
    f"UPDATE usage_requestlog SET endpoint = 'x' WHERE id = {A_REQUEST}": {"sums_are_the_log"},
    f"UPDATE usage_requestlog SET occurred_at = occurred_at - interval '1 day' WHERE occurred_at = '2026-03-02T12:00Z'"
    f" AND {OF_ALICE}": {"sums_are_the_log"},
    f"UPDATE usage_requestlog SET entry_id = (SELECT min(id) FROM ledger_entry) WHERE id = {A_REQUEST}": {
        "request_has_its_debit",
        "debit_is_its_requests",
    },
    f"UPDATE usage_dailyusage SET credits = credits + 1 WHERE {OF_ALICE}": {"sums_are_the_log", "usage_is_the_ledger"},
    f"UPDATE usage_dailyusage SET successful = successful + 1, failed = failed - 1 WHERE failed > 0 AND {OF_ALICE}": {
        "sums_are_the_log"
    },
    f"UPDATE usage_dailyusage SET rejected = rejected + 1 WHERE {OF_ALICE}": {"sums_are_the_log"},
    f"DELETE FROM usage_dailyusage WHERE {OF_ALICE}": {"sums_are_the_log", "usage_is_the_ledger"},
    f"UPDATE usage_refund SET credits = credits + 1 WHERE {OF_ALICE}": {
        "refund_is_in_the_statistics",
        "sums_are_the_log",
    },
    f"DELETE FROM usage_refund WHERE {OF_ALICE}": {"refund_is_in_the_statistics", "sums_are_the_log"},
    f"UPDATE usage_keyspending SET credits = credits - 0.000001 WHERE {OF_ALICE}": {"spending_of_a_key_is_the_log"},
    f"UPDATE usage_keyspending SET next_credits = 1 WHERE {OF_ALICE}": {"spending_of_a_key_is_the_log"},
    f"UPDATE usage_keyspending SET began_on = began_on + 62 WHERE {OF_ALICE}": {"spending_of_a_key_is_the_log"},
    f"DELETE FROM usage_requestlog WHERE api_key_id IS NOT NULL AND {OF_ALICE}": {
        "spending_of_a_key_is_the_log",
        "sums_are_the_log",
        "debit_is_its_requests",
    },
    f"UPDATE usage_requestlog SET api_key_id = NULL WHERE {OF_ALICE}": {"spending_of_a_key_is_the_log"},
    "INSERT INTO usage_dailyusage (user_id, day, endpoint, successful, failed, rejected, credits)"
    " SELECT id, '2026-03-09', 'x', 1, 0, 0, 0 FROM accounts_user"
    " WHERE email = 'alice@example.com'": {"sums_are_the_log"},
}


def alice_with_a_past():
    prices()
    return eventful("alice@example.com").pk


@pytest.fixture(scope="module", autouse=True)
def shared_alice(django_db_setup, django_db_blocker):
    with as_owner():
        yield from module_data(django_db_blocker, alice_with_a_past)


@pytest.fixture
def alice(shared_alice, db):
    return User.objects.get(pk=shared_alice)


def tamper(statement):
    with without_triggers(), connection.cursor() as cursor:
        cursor.execute(statement)


def found(scope=None):
    return reconcile(scope or Scope())[1]


def test_after_an_eventful_past_every_promise_is_kept(alice):
    eventful("bob@example.com")
    UserFactory()

    checked, findings = reconcile(Scope())

    assert findings == []
    assert checked == {
        "balances": 2,
        "entries": Entry.objects.count(),
        "holds": 8,
        "payments": 0,
        "requests": RequestLog.objects.count(),
        "daily_sums": DailyUsage.objects.count(),
        "checks": len(ALL_CHECKS),
    }
    assert checked["requests"] > 40


@pytest.mark.parametrize("statement", TAMPERINGS)
def test_tampering_is_found(alice, statement):
    give(UserFactory(email="bob@example.com"), 1)

    tamper(statement)

    findings = found()
    assert {finding.check for finding in findings} >= TAMPERINGS[statement]
    assert {finding.user_id for finding in findings} == {alice.pk}
    assert found(Scope(user_id=alice.pk)) == findings
    assert all(finding.detail.endswith(".") for finding in findings)


def test_every_check_finds_something():
    assert {check.name for check in (*LEDGER_CHECKS, *USAGE_CHECKS)} == set().union(*TAMPERINGS.values())


def test_an_entry_that_went_to_another_customer_is_found(alice):
    bob = customer_with(1)

    tamper(f"UPDATE ledger_entry SET user_id = {bob.pk}, seq = 2 WHERE seq = 3 AND user_id = {alice.pk}")

    assert {finding.user_id for finding in found()} == {alice.pk, bob.pk}


def test_findings_of_a_check_are_bounded(alice, monkeypatch):
    monkeypatch.setattr("ledger.services.reconciliation.checks.FINDINGS_A_CHECK", 3)

    tamper("UPDATE ledger_entry SET description = 'x'")

    assert len([finding for finding in found() if finding.check == "seal_fits_entry"]) == 3


class TestOneCustomer:
    def test_one_customers_run_finds_only_their_faults(self, alice):
        bob = eventful("bob@example.com")

        for table in ("ledger_balance SET balance = balance + 1", "usage_dailyusage SET credits = credits + 1"):
            tamper(f"UPDATE {table} WHERE user_id = {bob.pk}")

        assert found(Scope(user_id=alice.pk)) == []
        assert {finding.user_id for finding in found(Scope(user_id=bob.pk))} == {bob.pk}


class TestSince:
    def test_older_entries_are_taken_as_they_are(self, alice):
        tamper(f"UPDATE ledger_entry SET description = 'x' WHERE seq = 2 AND user_id = {alice.pk}")

        assert found(Scope(since=timezone.now())) == []

    def test_newer_entries_are_checked(self, alice):
        moment = timezone.now()
        entry = give(alice, 1)

        tamper(f"UPDATE ledger_entry SET description = 'x' WHERE id = {entry.pk}")

        assert [finding.check for finding in found(Scope(since=moment))] == ["seal_fits_entry"]

    def test_a_day_is_compared_as_a_whole(self, alice):
        assert found(Scope(since=MARCH + dt.timedelta(hours=7))) == []

    def test_balances_are_always_checked_as_of_now(self, alice):
        tamper(f"UPDATE ledger_balance SET balance = balance + 1 WHERE user_id = {alice.pk}")

        assert [finding.check for finding in found(Scope(since=timezone.now()))] == ["balance_is_last_entry"]


class TestMending:
    @pytest.mark.parametrize("statement", [one for one in TAMPERINGS if "usage_dailyusage" in one])
    def test_sums_are_rebuilt_from_the_log(self, alice, statement):
        before = rolled_up(alice)
        tamper(statement)

        changed = mend_sums([finding for finding in found() if finding.check == "sums_are_the_log"], Round())

        assert changed > 0
        assert rolled_up(alice) == before
        assert found() == []

    def test_sums_that_are_right_are_left_alone(self, alice):
        day = MARCH.date()

        assert rebuild_sums(user_id=None, first_day=day, day_after=day + dt.timedelta(days=400)) == 0

    def test_other_customers_are_not_touched(self, alice):
        bob = eventful("bob@example.com")
        tamper("UPDATE usage_dailyusage SET credits = credits + 1")
        bobs = rolled_up(bob)

        rebuild_sums(user_id=alice.pk, first_day=MARCH.date(), day_after=MARCH.date() + dt.timedelta(days=999))

        assert rolled_up(bob) == bobs
        assert {finding.user_id for finding in found()} == {bob.pk}

    @pytest.mark.parametrize("drift", ["1.5", "-1.5"])
    def test_a_balance_that_drifted_is_accounted_for_by_an_entry(self, alice, drift):
        history = list(Entry.objects.of(alice.pk).order_by("seq").values())
        tamper(f"UPDATE ledger_balance SET balance = balance + {drift} WHERE user_id = {alice.pk}")

        outcome = correct_drift(user_id=alice.pk)

        entry = Entry.objects.of(alice.pk).newest_first()[0]
        assert outcome == "posted"
        assert (entry.type, entry.reason, f"{entry.amount:.1f}") == ("adjustment", "correction", drift)
        assert list(Entry.objects.of(alice.pk).order_by("seq").values())[:-1] == history
        assert found() == []
        charge(alice)  # and the chain goes on
        assert found() == []

    def test_right_balances_are_not_corrected(self, alice):
        assert correct_drift(user_id=alice.pk) == "nothing_to_correct"

    def test_a_balance_with_a_wrong_sequence_cannot_be_corrected(self, alice):
        tamper(f"UPDATE ledger_balance SET balance = balance + 1, seq = seq + 1 WHERE user_id = {alice.pk}")

        assert correct_drift(user_id=alice.pk) == "beyond_correction"
        assert Balance.objects.get(user=alice).seq == Entry.objects.of(alice.pk).count() + 1
