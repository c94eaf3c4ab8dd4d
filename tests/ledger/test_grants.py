"""Grants: spent in burn-down order, expired on time, refunded to where the credits came from."""

import datetime as dt
import time
from decimal import Decimal

import pytest
from django.utils import timezone

from config.rounds import Round
from ledger.errors import GrantUntimely, IdempotencyKeyReused, InsufficientCredits
from ledger.models import Balance, Entry, EntryReason, Grant, GrantCategory, GrantDraw
from ledger.models.balance import NEVER
from ledger.selectors import balance_of
from ledger.services.grants import GrantTerms, grant_credits, settle_grants
from ledger.services.holds import release_hold
from ledger.services.reconciliation.checks import Scope
from tests.account import client_of
from tests.accounts.races import at_once
from tests.backoffice import list_of, rows_of, signed_in, superuser
from tests.factories import UserFactory, customer_with, give
from tests.ledger.granting import end, granted, left
from tests.ledger.posting import allow_overdraft, freeze, hold, post, run_out
from tests.usage.metering import captured, charge, price, refund
from usage.models import DayFigures
from usage.services.figures.folding import fold_figures
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db(transaction=True)
SOON = 0.4 / 86_400  # in days


@pytest.fixture
def alice(transactional_db):
    return UserFactory(email="alice@example.com")


@pytest.fixture(autouse=True)
def _books_are_right(transactional_db):
    yield
    assert reconcile(Scope())[1] == []


def balance(user):
    return balance_of(user_id=user.pk).balance


def expiries(user):
    entries = Entry.objects.of(user.pk).filter(reason=EntryReason.EXPIRY).order_by("seq")
    return list(entries.values_list("amount", flat=True))


def remaining(user, *grants):
    found = left(user)
    return [found[entry.pk] for entry in grants]


class TestTheOrderOfSpending:
    def test_follows_priority_then_expiry_then_promotional_then_effective_then_id(self, alice):
        now = timezone.now()
        by_id = [granted(alice, 1, effective_at=now), granted(alice, 1, effective_at=now)]
        effective_before = granted(alice, 1, effective_at=now - dt.timedelta(days=1))
        paid = granted(alice, 1, category=GrantCategory.PAID, effective_at=now - dt.timedelta(days=2))
        later, sooner = granted(alice, 1, days=2), granted(alice, 1, days=1)
        urgent = granted(alice, 1, priority=1)
        expected = [urgent, sooner, later, effective_before, *by_id, paid]

        for _ in expected:
            charge(alice, credits=1)
        settle_grants(user_id=alice.pk)

        drawn = GrantDraw.objects.filter(user=alice).order_by("first_seq").values_list("grant_id", flat=True)
        assert list(drawn) == [entry.pk for entry in expected]

    def test_credits_without_terms_are_grants_too(self, alice):
        bought = post(alice, 3, type="credit", reason="purchase").entry
        goodwill = post(alice, 2).entry

        charge(alice, credits=1)

        assert remaining(alice, bought, goodwill) == [3, 1]
        assert [grant.category for grant in Grant.objects.order_by("pk")] == ["paid", "promotional"]

    def test_successive_debits_are_one_burn_down(self, alice):
        first, second = granted(alice, 10, days=1), granted(alice, 10, days=2)
        for _ in range(5):
            charge(alice, credits=3)

        assert remaining(alice, first, second) == [0, 5]
        draws = GrantDraw.objects.order_by("pk").values_list("grant_id", "first_seq", "last_seq", "credits")
        assert list(draws) == [(first.pk, 3, 6, 10), (second.pk, 6, 7, 5)]

    def test_charging_does_not_touch_grants(self, alice):
        granted(alice, 10, days=1)

        charge(alice, credits=3)

        assert Grant.objects.get().remaining == 10
        assert not GrantDraw.objects.exists()

    def test_a_long_history_is_settled_in_batches(self, alice, monkeypatch):
        monkeypatch.setattr("ledger.services.grants.ENTRIES_AT_ONCE", 2)
        entry = granted(alice, 10, days=1)
        for _ in range(6):
            charge(alice, credits=1)

        assert remaining(alice, entry) == [4]
        assert settle_grants(user_id=alice.pk) == 0


class TestExpiry:
    def test_shows_exactly_to_readers_before_a_job_has_run(self, alice):
        give(alice, 5)
        entry = granted(alice, 10, days=SOON)
        charge(alice, credits=3)
        seen = []
        while timezone.now() < entry.grant.expires_at + dt.timedelta(milliseconds=100):
            before = timezone.now()
            seen.append((before, balance(alice), timezone.now()))

        assert {credits for _, credits, after in seen if after < entry.grant.expires_at} == {12}
        assert {credits for before, credits, _ in seen if before >= entry.grant.expires_at} == {5}
        assert Balance.objects.get().balance == 12

    def test_posts_one_debit_dated_at_the_expiry(self, alice):
        entry = granted(alice, 10, days=1)
        charge(alice, credits=3)
        end(entry)
        entry.grant.refresh_from_db()

        give(alice, 1)

        expiry = Entry.objects.get(reason="expiry")
        assert (expiry.type, expiry.amount, expiry.seq, expiry.balance_after) == ("debit", -7, 3, 0)
        assert expiry.created_at == entry.grant.expires_at
        assert expiry.metadata == {"grant_id": entry.pk}
        assert Balance.objects.get().granted_total == 4
        assert Balance.objects.get().next_expiry_at == NEVER

    def test_makes_no_entry_for_a_spent_grant(self, alice):
        entry = granted(alice, 3, days=1)
        charge(alice, credits=3)
        end(entry)

        give(alice, 1)

        assert expiries(alice) == []

    def test_applies_to_a_frozen_balance_too(self, alice):
        entry = granted(alice, 3, days=1)
        freeze(alice)
        end(entry)

        assert balance(alice) == 0
        assert settle_grants(user_id=alice.pk) == 1
        assert expiries(alice) == [-3]

    def test_shows_in_the_ledger_before_a_job_has_run(self, alice):
        entry = granted(alice, 3, days=1)
        end(entry)

        listed = client_of(alice).get("/auth/account/ledger").json()

        assert [(each["type"], each["amount"]) for each in listed["results"]] == [("debit", -3), ("credit", 3)]
        assert client_of(alice).get("/auth/account/credits").json()["balance"] == 0

    def test_counts_in_what_staff_see(self, alice):
        end(granted(alice, 3, days=1))
        give(alice, 1)
        end(granted(alice, 2, days=1))

        client = signed_in(superuser())

        assert [row.available_now for row in rows_of(client.get(list_of("ledger_balance")))] == [1]
        fold_figures(now=timezone.now(), customers=Round())
        assert DayFigures.objects.latest("day").promotional == 1

    def test_counts_in_the_result_of_a_free_charge(self, alice):
        price("free", 0)
        give(alice, 1)
        end(granted(alice, 3, days=1))

        free = charge(alice, "free")

        assert (free.balance_after, free.available) == (1, 1)

    def test_differs_from_spending_in_refusals_for_a_day(self, alice):
        end(granted(alice, 3, days=1))

        with pytest.raises(InsufficientCredits) as covered:
            charge(alice, credits=3)
        with pytest.raises(InsufficientCredits) as not_covered:
            charge(alice, credits=4)

        assert (covered.value.reason, covered.value.available) == ("expired", 0)
        assert not_covered.value.reason == "spent"

    def test_posts_once_and_refuses_no_charge_wrongly_beside_eight_callers(self):
        alice = customer_with(80)
        granted(alice, 1_000, days=SOON, priority=100)  # spent last: no other debit draws on it

        def work():
            for _ in range(10):
                charge(alice, credits=1)
                time.sleep(0.05)

        assert at_once(8, work) == [None] * 8
        assert expiries(alice) == [-1_000]
        assert balance(alice) == 0

    def test_posts_each_grant_once_by_many_runs_at_once(self, alice):
        end(granted(alice, 1, days=1), granted(alice, 2, days=1))

        outcomes = at_once(8, lambda: settle_grants(user_id=alice.pk))

        assert sorted(outcomes) == [0] * 7 + [2]
        assert expiries(alice) == [-1, -2]


class TestHolds:
    def test_keep_what_they_reserve_until_they_end(self, alice):
        entry = granted(alice, 10, days=1)
        opened = hold(alice, 4).hold
        end(entry)
        assert balance(alice) == 4
        assert balance_of(user_id=alice.pk).available == 0

        release_hold(hold_id=opened.pk, idempotency_key="r")

        assert balance(alice) == 0
        left(alice)
        assert expiries(alice) == [-6, -4]

    def test_spend_what_they_kept_of_an_expired_grant_first(self, alice):
        for_ever, entry = granted(alice, 10, priority=0), granted(alice, 10, days=1)
        opened = hold(alice, 4).hold
        end(entry)

        charge(alice, credits=2)
        captured(opened, credits=Decimal(3))

        assert remaining(alice, for_ever, entry) == [8, 0]
        assert expiries(alice) == [-6, -1]

    def test_keep_grants_that_expire_sooner_before_later_ones(self, alice):
        sooner, later = granted(alice, 5, days=1), granted(alice, 5, days=2)
        hold(alice, 7)
        end(sooner)
        assert balance(alice) == 10
        end(later)

        assert remaining(alice, sooner, later) == [5, 2]
        assert expiries(alice) == [-3]

    def test_release_kept_credits_at_their_own_expiry(self, alice):
        entry = granted(alice, 10, days=1)
        opened = hold(alice, 4).hold
        end(entry)
        run_out(opened)
        opened.refresh_from_db()

        left(alice)

        times = Entry.objects.filter(reason="expiry").order_by("seq").values_list("created_at", flat=True)
        assert expiries(alice) == [-6, -4]
        assert list(times)[1] == opened.expires_at


class TestRefunds:
    def test_go_back_to_the_grants_they_came_from_the_last_first(self, alice):
        first, second = granted(alice, 4, days=1), granted(alice, 10, days=2)
        paid = charge(alice, credits=6)

        refund(paid.id, 1)
        assert remaining(alice, first, second) == [0, 9]
        refund(paid.id, 3)

        assert remaining(alice, first, second) == [2, 10]

    def test_to_an_expired_grant_expire_at_once(self, alice):
        entry = granted(alice, 4, days=1)
        paid = charge(alice, credits=4)
        end(entry)
        give(alice, 1)

        refund(paid.id)

        assert balance(alice) == 1
        left(alice)
        assert expiries(alice) == [-4]

    def test_to_a_used_up_grant_expire_with_it(self, alice):
        entry = granted(alice, 4, days=1)
        paid = charge(alice, credits=4)
        settle_grants(user_id=alice.pk)
        refund(paid.id)
        assert balance(alice) == 4

        end(entry)

        assert balance(alice) == 0
        assert remaining(alice, entry) == [0]

    def test_open_a_new_grant_for_overdrawn_credits(self, alice):
        allow_overdraft(alice, 10)
        paid = charge(alice, credits=6)
        bought = give(alice, 10)

        entry = refund(paid.id).entry

        assert remaining(alice, bought, entry) == [4, 6]

    def test_return_to_a_grant_only_its_part_of_an_overdrawn_debit(self, alice):
        allow_overdraft(alice, 10)
        entry = granted(alice, 4)
        paid = charge(alice, credits=6)
        give(alice, 2)

        first = refund(paid.id, 2).entry
        second = refund(paid.id, 1).entry

        assert remaining(alice, entry, first) == [1, 2]
        assert not Grant.objects.filter(pk=second.pk).exists()

    def test_first_pay_what_is_overdrawn(self, alice):
        allow_overdraft(alice, 10)
        entry = granted(alice, 4)
        paid = charge(alice, credits=4)
        charge(alice, credits=3)

        refund(paid.id)

        assert remaining(alice, entry) == [1]


class TestOpening:
    def test_grants_that_begin_later_or_have_expired_are_refused(self, alice):
        for terms in ({"days": -1}, {"days": 0}, {"effective_at": timezone.now() + dt.timedelta(hours=1)}):
            with pytest.raises(GrantUntimely):
                granted(alice, 1, **terms)

        assert not Entry.objects.exists()

    def test_repetition_returns_the_original_entry_after_its_expiry(self, alice):
        def grant(days):
            return grant_credits(
                user_id=alice.pk,
                amount=Decimal(3),
                reason=EntryReason.GRANT,
                reference=None,
                idempotency_key="k",
                terms=GrantTerms(expires_at=dt.datetime(2100, 1, days, tzinfo=dt.UTC)),
            )

        first = grant(1)
        end(first.entry)

        again = grant(1)

        assert (again.entry.pk, again.is_replay) == (first.entry.pk, True)
        with pytest.raises(IdempotencyKeyReused):
            grant(2)
        assert Grant.objects.count() == 1
