"""Reversals and grants: what a reversal takes back and gives back comes from and goes to the right grants."""

from __future__ import annotations

import pytest
from django.utils import timezone

from ledger.errors import InsufficientCredits
from ledger.models import DisputeStatus, Entry
from ledger.providers import fake as cards
from ledger.selectors import balance_of
from ledger.services.holds import release_hold
from ledger.services.payments.reversals import note_dispute, note_refund
from tests.account import client_of
from tests.factories import give
from tests.ledger.granting import end, granted, left
from tests.ledger.paying import bought
from tests.ledger.posting import allow_overdraft, post
from tests.usage.metering import captured, charge, held, refund
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)
OPEN, WON, LOST = DisputeStatus.OPEN, DisputeStatus.WON, DisputeStatus.LOST


@pytest.fixture(autouse=True)
def _books_are_right(transactional_db):
    yield
    assert reconcile(Scope())[1] == []


def dispute(payment, status, name="dp_1", minor=1250):
    note_dispute(payment_id=payment.pk, provider_dispute_id=name, amount_minor=minor, status=status, now=timezone.now())


def has(user):
    return balance_of(user_id=user.pk).balance


def ledger_end(user):
    """Return the last balance of the ledger and the sum of its amounts, without settling anything."""
    entries = Entry.objects.of(user.pk).newest_first()
    return entries[0].balance_after, sum(entry.amount for entry in entries)


class TestTakingAPurchaseBack:
    def test_draws_on_its_own_grant_and_not_on_the_one_that_expires_first(self, bob):
        gift = granted(bob, 1000, days=1)
        payment = bought(bob, cards.APPROVE)

        note_refund(payment_id=payment.pk, refunded_minor=1250, now=timezone.now())

        assert left(bob) == {gift.pk: 1000, payment.entry_id: 0}
        end(gift)
        assert has(bob) == 0

    def test_draws_on_others_in_their_order_once_its_own_is_spent(self, bob):
        payment = bought(bob, cards.APPROVE)
        charge(bob, credits=700)
        later, sooner = granted(bob, 500, days=2), granted(bob, 100, days=1)
        second = bought(bob, cards.APPROVE)

        note_refund(payment_id=payment.pk, refunded_minor=1250, now=timezone.now())

        assert left(bob) == {payment.entry_id: 0, sooner.pk: 0, later.pk: 0, second.entry_id: 900}

    def test_in_parts_draws_on_its_own_grant_each_time(self, bob):
        gift = granted(bob, 1000, days=1)
        payment = bought(bob, cards.APPROVE)

        for minor in (125, 625, 1250):
            note_refund(payment_id=payment.pk, refunded_minor=minor, now=timezone.now())

        assert left(bob) == {gift.pk: 1000, payment.entry_id: 0}


class TestADisputeThatIsWon:
    def test_gives_back_to_the_grant_that_was_drawn_on(self, bob):
        payment = bought(bob, cards.APPROVE)
        dispute(payment, OPEN)
        dispute(payment, WON)

        assert left(bob) == {payment.entry_id: 1000}
        gift = granted(bob, 200, days=1)
        charge(bob, credits=400)
        end(gift)
        assert has(bob) == 800

    def test_gives_back_to_every_grant_the_last_drawn_first(self, bob):
        payment = bought(bob, cards.APPROVE)
        charge(bob, credits=800)
        gift = granted(bob, 500, days=1)
        other = post(bob, 600).entry
        dispute(payment, OPEN)
        assert left(bob) == {payment.entry_id: 0, gift.pk: 0, other.pk: 300}

        dispute(payment, WON)

        assert left(bob) == {payment.entry_id: 200, gift.pk: 500, other.pk: 600}

    def test_gives_back_to_an_ended_grant_credits_that_expire_at_once(self, bob):
        payment = bought(bob, cards.APPROVE)
        charge(bob, credits=800)
        gift = granted(bob, 500, days=1)
        other = post(bob, 600).entry
        dispute(payment, OPEN)
        end(gift)

        dispute(payment, WON)

        assert ledger_end(bob) == (800, 800)
        assert has(bob) == 800
        assert left(bob) == {payment.entry_id: 200, gift.pk: 0, other.pk: 600}

    @pytest.mark.parametrize("again", range(2))
    def test_restores_every_grant_when_lost_and_won_repeatedly(self, bob, again):
        gift = granted(bob, 50, days=1)
        payment = bought(bob, cards.APPROVE)
        charge(bob, credits=60 + again)
        before = left(bob)

        for name in ("dp_1", "dp_2", "dp_3"):
            dispute(payment, OPEN, name, minor=700)
            dispute(payment, WON, name, minor=700)

        assert left(bob) == before
        assert before[gift.pk] == 0

    def test_pays_what_is_overdrawn_first(self, bob):
        allow_overdraft(bob, 500)
        payment = bought(bob, cards.APPROVE)
        charge(bob, credits=900)
        dispute(payment, OPEN)
        assert has(bob) == -500

        dispute(payment, WON)

        assert has(bob) == 100
        assert left(bob) == {payment.entry_id: 100}


class TestCreditsReturnedToAnEndedGrant:
    def test_a_refund_expires_in_its_own_transaction(self, bob):
        gift = granted(bob, 50, days=1)
        spent = charge(bob, credits=50)
        end(gift)

        refund(spent.id)

        assert ledger_end(bob) == (0, 0)
        assert has(bob) == 0
        api = client_of(bob)
        rows = api.get("/auth/account/ledger").json()["results"]
        assert [row["amount"] for row in rows] == [-50, 50, -50, 50]
        lines = b"".join(api.get("/auth/account/ledger?format=csv").streaming_content).decode().splitlines()
        assert len(lines) == 1 + len(rows)
        assert [row["remaining"] for row in api.get("/auth/account/grants").json()["results"]] == [0]
        assert api.get("/auth/account/credits").json()["balance"] == 0

    def test_a_hold_that_is_released_expires_with_what_was_kept_for_it(self, bob):
        gift = granted(bob, 50, days=1)
        hold = held(bob, credits=50).hold
        end(gift)
        assert has(bob) == 50

        release_hold(hold_id=hold.pk, idempotency_key="r")

        assert ledger_end(bob) == (0, 0)
        assert has(bob) == 0

    def test_a_capture_of_a_part_expires_the_rest_that_was_kept_for_it(self, bob):
        gift = granted(bob, 50, days=1)
        hold = held(bob, credits=50).hold
        end(gift)

        captured(hold, credits=20)

        assert ledger_end(bob) == (0, 0)
        assert left(bob) == {gift.pk: 0}


class TestAnOverdraft:
    def test_takes_its_part_of_a_grant_before_the_rest_can_be_spent(self, bob):
        allow_overdraft(bob, 100)
        charge(bob, credits=80)
        gift = granted(bob, 100, days=1)

        assert left(bob) == {gift.pk: 20}
        end(gift)
        assert has(bob) == 0

    def test_paid_by_a_grant_is_not_given_back_by_a_refund(self, bob):
        allow_overdraft(bob, 100)
        spent = charge(bob, credits=80)
        gift = granted(bob, 100, days=1)

        given = refund(spent.id).entry

        assert left(bob) == {gift.pk: 20, given.pk: 80}
        end(gift)
        assert has(bob) == 80


def test_credits_owed_are_taken_while_an_ended_grant_keeps_some_for_a_hold(bob):
    payment = bought(bob, cards.APPROVE)
    charge(bob, credits=1_000)
    gift = granted(bob, 50, days=1)
    kept = held(bob, credits=40).hold
    end(gift)
    dispute(payment, OPEN)

    with pytest.raises(InsufficientCredits):
        charge(bob, credits=1)
    give(bob, 25)

    assert balance_of(user_id=bob.pk).available == 0
    release_hold(hold_id=kept.pk, idempotency_key="r")
    assert ledger_end(bob) == (0, 0)
