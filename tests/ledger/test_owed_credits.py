"""Owed credits: reversals of spent purchases are taken from incoming credits before these can be spent."""

from __future__ import annotations

import datetime as dt
import itertools
from decimal import Decimal

import pytest
from django.utils import timezone

from ledger.errors import InsufficientCredits
from ledger.models import AdjustmentReason, Entry, EntryReason
from ledger.providers import fake as cards
from ledger.selectors import balance_of, credits_owed_by
from ledger.services.adjustments.posting import adjust_credits
from ledger.services.auto_reload.buying import reload_one
from ledger.services.grants import GrantTerms, grant_credits
from ledger.services.holds import expire_holds, release_hold
from ledger.services.payments.reversals import note_dispute, note_refund, settle_reversals
from ledger.services.payments.rounds import reversals_due
from tests.account import client_of
from tests.accounts.races import at_once
from tests.backoffice import rows_of, signed_in, superuser
from tests.factories import StaffFactory, UserFactory
from tests.ledger.paying import bought, card
from tests.ledger.posting import allow_overdraft, freeze, hold, post
from tests.ledger.reloading import NOON, agreed
from tests.ledger.subscribing import let_time_pass, plan, subscribe
from tests.ledger.tampering import tamper
from tests.usage.metering import captured, charge, price, refund
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db
HOUR = dt.timedelta(hours=1)


def dispute(payment, status="lost", *, minor=1250, name="dp_1"):
    note_dispute(payment_id=payment.pk, provider_dispute_id=name, amount_minor=minor, status=status, now=timezone.now())


@pytest.fixture
def owing(bob):
    """Create a debt: Bob has spent what he bought, and a dispute has taken the money back; he owes 1,000."""
    payment = bought(bob, cards.APPROVE)
    post(bob, -1000)
    dispute(payment)
    assert credits_owed_by(user_id=bob.pk) == 1000
    return payment


@pytest.fixture(autouse=True)
def _books_are_in_order(db):
    yield
    assert reconcile(Scope())[1] == []


def give(user, credits, terms=None):
    named = {"user_id": user.pk, "reason": EntryReason.GRANT, "reference": None, "idempotency_key": "give"}
    grant_credits(amount=Decimal(credits), **named, **({} if terms is None else {"terms": terms}))


def adjust(user, credits):
    adjust_credits(
        user_id=user.pk, amount=Decimal(credits), reason=AdjustmentReason.GOODWILL, note="Sorry",
        actor_id=StaffFactory().pk, idempotency_key="adjust",
    )  # fmt: skip


def buy_again(user):
    other = card(user, cards.APPROVE)
    other.provider_method_id, other.pk = f"{cards.APPROVE}:another", None
    other.save()

    body = {"package": "small", "payment_method_id": other.pk}
    answer = client_of(user).post("/auth/account/top-ups", body, HTTP_IDEMPOTENCY_KEY="again")
    assert answer.json()["state"] == "succeeded"


COMES_IN = {
    "a purchase": buy_again,
    "a grant": lambda user: give(user, 1000),
    "a grant that expires": lambda user: give(user, 1000, GrantTerms(expires_at=timezone.now() + HOUR)),
    "an adjustment": lambda user: adjust(user, 1000),
    "more than is owed": lambda user: give(user, 1500),
    "less than is owed": lambda user: give(user, 400),
    "a period of a subscription": lambda user: subscribe(user, plan(1000)),
}


@pytest.mark.parametrize("what", COMES_IN)
def test_owed_credits_are_taken_in_the_transaction_of_incoming_credits(bob, owing, what):
    COMES_IN[what](bob)

    came_in, taken = Entry.objects.filter(user=bob).order_by("-seq")[:2][::-1]
    left = max(came_in.amount - 1000, Decimal(0))
    assert (taken.reason, taken.reverses_id, taken.amount) == ("chargeback", owing.entry_id, left - came_in.amount)
    assert balance_of(user_id=bob.pk).available == left
    assert credits_owed_by(user_id=bob.pk) == max(1000 - came_in.amount, Decimal(0))
    with pytest.raises(InsufficientCredits):
        post(bob, -left - 1)


def test_a_later_auto_reload_pays_owed_credits_first(bob, owing):
    agreed(bob, cards.AUTHENTICATE, now=NOON)
    bob.payment_methods.filter(last4="3220").update(provider_method_id=f"{cards.APPROVE}:another")

    assert reload_one(user_id=bob.pk, now=NOON) == "succeeded"

    assert balance_of(user_id=bob.pk).available == 0
    assert credits_owed_by(user_id=bob.pk) == 0


def test_a_refunded_charge_pays_owed_credits_first(bob):
    price("search", 600)
    payment = bought(bob, cards.APPROVE)
    charged = charge(bob)
    post(bob, -400)
    dispute(payment)

    refund(charged.id)

    assert balance_of(user_id=bob.pk).available == 0
    assert credits_owed_by(user_id=bob.pk) == 400


class TestHolds:
    pytestmark = pytest.mark.django_db(transaction=True)

    @pytest.fixture
    def held(self):
        bob = UserFactory()
        payment = bought(bob, cards.APPROVE)
        held = hold(bob, 1000).hold
        dispute(payment)
        assert (balance_of(user_id=bob.pk).balance, credits_owed_by(user_id=bob.pk)) == (1000, 1000)
        yield held
        assert (balance_of(user_id=bob.pk).balance, credits_owed_by(user_id=bob.pk)) == (0, 0)

    def run_out(self, held):
        tamper(f"UPDATE ledger_hold SET expires_at = created_at + interval '1 microsecond' WHERE id = {held.pk}")
        tamper(f"UPDATE ledger_balance SET next_expiry_at = '2026-01-01' WHERE user_id = {held.user_id}")

    def test_a_released_hold_pays_owed_credits_first(self, held):
        release_hold(hold_id=held.pk, idempotency_key="release")

    def test_an_expired_hold_pays_owed_credits_before_a_charge_can_spend_them(self, held):
        self.run_out(held)
        read = balance_of(user_id=held.user_id)
        assert (read.balance, read.reserved, read.available) == (0, 0, 0)  # before anything is settled

        with pytest.raises(InsufficientCredits):
            post(held.user_id, -1)

        expire_holds(user_id=held.user_id)

    def test_an_expired_hold_pays_owed_credits_when_the_job_settles_it(self, held):
        self.run_out(held)

        assert expire_holds(user_id=held.user_id) == 1

    def test_the_rest_of_a_capture_pays_owed_credits(self, held):
        captured(held, credits=Decimal(400))
        assert balance_of(user_id=held.user_id).balance == 0

        post(held.user_id, 400)


@pytest.mark.django_db(transaction=True)
def test_an_unsettled_period_reads_as_it_will_be_written():
    bob = UserFactory()
    payments = [bought(bob, cards.APPROVE) for _ in range(2)]
    post(bob, -2000)
    for payment in payments:
        dispute(payment, name=f"dp_{payment.pk}")
    subscribe(bob, plan(1200))
    assert (balance_of(user_id=bob.pk).balance, credits_owed_by(user_id=bob.pk)) == (0, 800)
    let_time_pass(bob, months=1)

    read, listed = balance_of(user_id=bob.pk), client_of(bob).get("/auth/account/credits").json()
    with pytest.raises(InsufficientCredits):
        post(bob, -401)

    assert read.available == listed["available"] == balance_of(user_id=bob.pk).available == 400
    assert credits_owed_by(user_id=bob.pk) == 0


class TestSpecialCases:
    def test_two_payments_are_taken_the_oldest_first(self, bob):
        first, second = (bought(bob, cards.APPROVE) for _ in range(2))
        post(bob, -2000)
        dispute(second, name="dp_2")
        dispute(first)

        give(bob, 1300)

        first.refresh_from_db()
        second.refresh_from_db()
        assert (first.credits_owed, second.credits_owed) == (0, 700)
        assert balance_of(user_id=bob.pk).available == 0

    def test_a_won_dispute_pays_what_another_owes(self, bob):
        first, second = (bought(bob, cards.APPROVE) for _ in range(2))
        post(bob, -1000)
        dispute(first, "open")
        dispute(second, name="dp_2")
        assert credits_owed_by(user_id=bob.pk) == 1000

        dispute(first, "won")

        assert (balance_of(user_id=bob.pk).available, credits_owed_by(user_id=bob.pk)) == (0, 0)

    def test_a_won_dispute_is_no_longer_owed(self, bob):
        payment = bought(bob, cards.APPROVE)
        post(bob, -1000)
        dispute(payment, "open")

        dispute(payment, "won")
        give(bob, 100)

        assert (balance_of(user_id=bob.pk).available, credits_owed_by(user_id=bob.pk)) == (100, 0)

    def test_a_frozen_balance_pays_and_stays_frozen(self, bob, owing):
        freeze(bob)

        give(bob, 300)

        bob.balance.refresh_from_db()
        assert bob.balance.frozen_at is not None
        assert (balance_of(user_id=bob.pk).available, credits_owed_by(user_id=bob.pk)) == (0, 700)

    def test_a_higher_overdraft_limit_does_not_avoid_it(self, bob, owing):
        allow_overdraft(bob, 400)

        assert (balance_of(user_id=bob.pk).available, credits_owed_by(user_id=bob.pk)) == (-400, 600)

    def test_a_partly_refunded_purchase_owes_that_part(self, bob):
        payment = bought(bob, cards.APPROVE)
        post(bob, -1000)
        note_refund(payment_id=payment.pk, refunded_minor=625, now=timezone.now())

        give(bob, 800)

        assert (balance_of(user_id=bob.pk).available, reversals_due()) == (300, [])

    def test_another_customers_debts_are_their_own(self, bob, owing, alice):
        give(alice, 50)

        assert credits_owed_by(user_id=bob.pk) == 1000


class TestShown:
    def test_the_customer_sees_it_with_the_purchase(self, bob, owing):
        shown = client_of(bob).get(f"/auth/account/top-ups/{owing.pk}").json()

        assert (shown["credits"], shown["credits_owed"]) == (1000, 1000)

    def test_staff_see_it_with_the_customer_and_find_who_owes(self, bob, owing, alice):
        bought(alice, cards.APPROVE)
        staff = signed_in(superuser())

        page = staff.get(f"/admin/accounts/user/{bob.pk}/change/").content.decode()
        listed = staff.get("/admin/ledger/payment/?state=owed")

        assert "Owed" in page
        assert [row.pk for row in rows_of(listed)] == [owing.pk]


@pytest.mark.django_db(transaction=True)
def test_owed_credits_that_differ_from_the_noted_reversals_are_found():
    bob = UserFactory()
    payment = bought(bob, cards.APPROVE)
    post(bob, -1000)
    dispute(payment)
    tamper(f"UPDATE ledger_payment SET credits_owed = 1 WHERE id = {payment.pk}")

    (found,) = reconcile(Scope())[1]
    settle_reversals(payment_id=payment.pk)

    assert (found.check, found.facts["payment_id"]) == ("what_is_owed_is_noted", payment.pk)
    assert (
        found.detail
        == f"Of payment {payment.pk}, 1000.000000 credits are still to be taken back, but 1.000000 are noted."
    )


@pytest.mark.django_db(transaction=True)
def test_owed_credits_cannot_be_spent_by_many_charges_at_once():
    bob = UserFactory()
    payment = bought(bob, cards.APPROVE)
    post(bob, -1000)
    dispute(payment)
    turns = itertools.count()

    outcomes = at_once(8, lambda: post(bob, -1 if next(turns) % 2 else 100))

    refused = [one for one in outcomes if isinstance(one, InsufficientCredits)]
    assert len(refused) == 4
    assert (balance_of(user_id=bob.pk).available, credits_owed_by(user_id=bob.pk)) == (0, 600)
