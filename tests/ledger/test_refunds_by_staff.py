"""Refunds by staff: money and credits linked, once, whatever happens between the steps."""

from __future__ import annotations

import uuid
from dataclasses import replace
from decimal import Decimal

import pytest
from django.db import IntegrityError, connection, transaction
from django.utils import timezone

from ledger import errors
from ledger.models import DisputeStatus, OffReason, Payment, PaymentKind, PaymentState, StaffRefund
from ledger.providers import fake as cards
from ledger.services.payments import refunds
from ledger.services.payments.refunds import carry_out_refund, refundable_minor, refunds_in_doubt, settle_refund
from ledger.services.payments.reversals import note_dispute, note_refund, note_single_refund
from ledger.services.payments.settling import order_of
from tests.accounts.races import at_once
from tests.ledger.paying import LATER, bought, fake, purchases
from tests.ledger.posting import post
from tests.ledger.refunding import begin, refunded, saying_no, silent_after, silent_before
from tests.ledger.reloading import low, reload_of, run_all
from tests.ledger.running import run
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db


@pytest.fixture
def payment(bob):
    return bought(bob, cards.APPROVE)


@pytest.fixture(autouse=True)
def _books_are_in_order(bob):
    yield
    assert reconcile(Scope())[1] == []


def reread(payment):
    return Payment.objects.get(pk=payment.pk)


def later():
    return timezone.now() + LATER


def test_a_refund_gives_the_money_back_and_takes_the_credits(bob, payment):
    refund = refunded(payment)

    assert (refund.state, reread(payment).refunded_minor, purchases(bob)) == ("made", 1250, [1000, -1000])
    assert fake().refunds[refund.provider_key].amount_minor == 1250
    assert refundable_minor(reread(payment)) == 0


def test_parts_take_back_their_part_and_no_more_than_was_paid(bob, payment):
    refunded(payment, 1)
    refunded(payment, 624)

    with pytest.raises(errors.RefundExceedsPayment, match=r"^6\.25 USD of this payment are left to refund\.$"):
        begin(payment, 626)
    refunded(payment, 625)

    assert purchases(bob) == [1000, Decimal("-0.8"), Decimal("-499.2"), -500]


def test_what_was_spent_is_owed_and_taken_from_what_comes_in(bob, payment):
    post(bob, -900)

    refunded(payment)
    owed = reread(payment).credits_owed
    post(bob, 1500)

    assert owed == 900
    assert purchases(bob) == [1000, -100, -900]


@pytest.mark.parametrize("minor", [0, -1])
def test_nothing_is_not_refunded(payment, minor):
    with pytest.raises(errors.RefundExceedsPayment):
        begin(payment, minor)


def test_a_payment_that_was_not_paid_is_not_refunded(bob):
    with pytest.raises(errors.PaymentNotRefundable):
        begin(bought(bob, cards.TIME_OUT))


def test_a_payment_without_the_providers_id_is_refunded_at_the_provider(payment):
    Payment.objects.filter(pk=payment.pk).update(provider_payment_id=None)

    with pytest.raises(errors.PaymentNotRefundable, match=r"not known here: refund it there"):
        begin(payment)


def test_a_payment_of_another_customer_is_not_found(alice, payment):
    with pytest.raises(errors.PaymentNotFound):
        begin(replace_user(payment, alice))


def replace_user(payment, user):
    payment.user_id = user.pk
    return payment


def test_a_refund_leaves_alone_what_a_dispute_took(bob, payment):
    note_dispute(
        payment_id=payment.pk, provider_dispute_id="dp", amount_minor=1000, status=DisputeStatus.OPEN,
        now=timezone.now(),
    )  # fmt: skip

    with pytest.raises(errors.RefundExceedsPayment):
        begin(payment, 251)
    refunded(payment, 250)

    assert sum(purchases(bob)) == 0


def test_a_repeated_call_returns_the_refund_and_its_key_makes_no_other(payment, clerk):
    first = begin(payment, 100, idempotency_key="one", actor_id=clerk.pk)

    again = begin(payment, 100, idempotency_key="one", actor_id=clerk.pk)

    assert (again.refund.pk, again.is_replay) == (first.refund.pk, True)
    with pytest.raises(errors.IdempotencyKeyReused):
        begin(payment, 101, idempotency_key="one", actor_id=clerk.pk)
    carry_out_refund(refund_id=first.refund.pk, now=timezone.now())


def test_one_refund_of_a_payment_is_under_way_at_a_time(bob, payment):
    first = begin(payment, 100)

    with pytest.raises(errors.RefundUnderWay):
        begin(payment, 100)
    assert refundable_minor(payment) == 1150
    carry_out_refund(refund_id=first.refund.pk, now=timezone.now())
    refunded(payment, 100)

    assert purchases(bob) == [1000, -80, -80]


# --- Providers that do not answer, or say no ---------------------------------------------------------------


def test_a_refund_that_the_provider_refuses_takes_nothing_and_another_may_follow(bob, payment, monkeypatch):
    with monkeypatch.context() as no:
        saying_no(no)
        refund = refunded(payment)

    assert (refund.state, refund.failure_code, refund.failure_message) == (
        "refused", "charge_disputed", "The charge is disputed.",
    )  # fmt: skip
    assert purchases(bob) == [1000]
    refunded(payment)
    assert purchases(bob) == [1000, -1000]


@pytest.mark.parametrize("silence", [silent_before, silent_after])
def test_a_refund_without_an_answer_is_finished_by_a_round_under_its_key(bob, payment, monkeypatch, silence):
    with monkeypatch.context() as away:
        silence(away)
        refund = refunded(payment, 500)
        assert (refund.state, purchases(bob)) == ("asked", [1000])
        assert refunds_in_doubt(now=timezone.now()) == []  # asked just now
        assert settle_refund(refund_id=refund.pk, now=later()).was_answered is (silence is silent_after)
    if silence is silent_before:
        settle_refund(refund_id=refund.pk, now=later())

    assert StaffRefund.objects.get().state == "made"
    assert purchases(bob) == [1000, -400]
    assert fake().refunds[refund.provider_key].amount_minor == 500


def test_a_round_finishes_refunds_and_counts_them(bob, payment, monkeypatch):
    with monkeypatch.context() as away:
        silent_before(away)
        refunded(payment, now=timezone.now() - LATER)
    StaffRefund.objects.update(asked_at=timezone.now() - LATER)
    dry = run("settle_payments", "--dry-run", "--json").json

    first, second = run("settle_payments", "--json"), run("settle_payments", "--json")

    assert (dry["refunds"], first.json["refunds"], second.json["refunds"]) == (1, 1, 0)
    assert (first.code, second.code) == (0, 0)
    assert purchases(bob) == [1000, -1000]


def test_a_refund_that_failed_later_returns_the_credits(bob, payment):
    refund = refunded(payment)

    note_single_refund(
        payment_id=payment.pk, provider_refund_id=refund.provider_refund_id, amount_minor=1250, has_failed=True,
        now=timezone.now(),
    )  # fmt: skip

    assert purchases(bob) == [1000, -1000, 1000]
    assert refundable_minor(reread(payment)) == 1250


def test_a_refund_that_fails_at_once_takes_nothing(bob, payment, monkeypatch):
    answer = fake().refund
    monkeypatch.setattr(fake(), "refund", lambda *args, **named: replace(answer(*args, **named), has_failed=True))

    refund = refunded(payment)

    assert (refund.state, refund.failure_code) == ("refused", "refund_failed")
    assert purchases(bob) == [1000]


def test_another_amount_than_was_asked_for_is_noted_and_not_believed(bob, payment, monkeypatch):
    answer = fake().refund
    monkeypatch.setattr(fake(), "refund", lambda *args, **named: replace(answer(*args, **named), amount_minor=1))

    with pytest.raises(errors.PaymentMismatch):
        refunded(payment)

    assert payment.outcomes.get(outcome="mismatch").detail == "refund: 1 USD instead of 1250 USD"
    assert purchases(bob) == [1000]


def test_a_refund_of_a_provider_that_is_gone_is_not_begun(payment, settings):
    settings.IN_PRODUCTION = True  # the fake provider is refused in production

    with pytest.raises(errors.PaymentsOff):
        begin(payment)
    assert not StaffRefund.objects.exists()


def test_the_fake_provider_makes_one_refund_for_a_key(payment):
    order, key = order_of(payment), uuid.uuid4()

    answers = [fake().refund(order, key=key, amount_minor=100) for _ in range(2)]

    assert answers[0] == answers[1]
    assert fake().refund(order, key=uuid.uuid4(), amount_minor=100) != answers[0]


# --- The provider's own messages ---------------------------------------------------------------------------


@pytest.mark.parametrize("is_first", [True, False])
def test_the_providers_messages_of_the_refund_take_the_credits_once(bob, payment, is_first):
    begun = begin(payment, 500)

    def messages():
        note_single_refund(
            payment_id=payment.pk, provider_refund_id=f"fake_refund_{begun.refund.provider_key}", amount_minor=500,
            has_failed=False, now=timezone.now(),
        )  # fmt: skip
        note_refund(payment_id=payment.pk, refunded_minor=500, now=timezone.now())

    if is_first:
        messages()
    carry_out_refund(refund_id=begun.refund.pk, now=timezone.now())
    messages()

    assert purchases(bob) == [1000, -400]
    assert reread(payment).refunded_minor == 500


def test_a_refund_of_an_automatic_purchase_turns_auto_reload_off():
    user = low(50, now=timezone.now())
    run_all(timezone.now())
    payment = Payment.objects.get(user=user, kind=PaymentKind.AUTO_RELOAD, state=PaymentState.SUCCEEDED)

    refunded(payment, 1)

    assert (reload_of(user).enabled, reload_of(user).off_reason) == (False, OffReason.REFUNDED)


# --- Crashes, races and crafted writes -----------------------------------------------------------------------


class Crash(Exception):
    """Ends the process here."""


def _crash(*_args, **_named):
    raise Crash


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("step", ["_ask", "note_single_refund", "_end"])
def test_a_crash_between_any_two_steps_is_finished_by_a_round(bob, payment, monkeypatch, step):
    with monkeypatch.context() as broken:
        broken.setattr(refunds, step, _crash)
        with pytest.raises(Crash):
            refunded(payment, 500)

    for refund_id in refunds_in_doubt(now=later()):
        settle_refund(refund_id=refund_id, now=later())

    assert StaffRefund.objects.get().state == "made"
    assert purchases(bob) == [1000, -400]


@pytest.mark.django_db(transaction=True)
def test_sixteen_refunds_at_once_give_back_no_more_than_was_paid(bob, payment):
    outcomes = at_once(16, lambda: refunded(payment, 500).state)

    made = [each for each in outcomes if each == "made"]
    refused = [each for each in outcomes if isinstance(each, errors.RefundUnderWay | errors.RefundExceedsPayment)]
    assert 1 <= len(made) <= 2
    assert len(made) + len(refused) == 16
    assert sum(purchases(bob)) == 1000 - 400 * len(made)


@pytest.mark.django_db(transaction=True)
def test_one_refund_carried_out_by_eight_at_once_is_made_once(bob, payment):
    begun = begin(payment, 500)

    states = at_once(8, lambda: carry_out_refund(refund_id=begun.refund.pk, now=timezone.now()).state)

    assert states == ["made"] * 8
    assert purchases(bob) == [1000, -400]


@pytest.mark.django_db(transaction=True)
def test_no_provider_is_asked_for_a_refund_inside_a_transaction(payment, monkeypatch):
    seen, answer = [], fake().refund

    def watched(*args, **named):
        seen.append(connection.in_atomic_block)
        return answer(*args, **named)

    monkeypatch.setattr(fake(), "refund", watched)

    refunded(payment)

    assert seen == [False]


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM ledger_staffrefund",
        "UPDATE ledger_staffrefund SET note = 'another'",
        "UPDATE ledger_staffrefund SET state = 'refused', failure_code = 'x'",
    ],
)
def test_a_refund_that_was_made_is_neither_changed_nor_removed(payment, statement):
    refunded(payment)

    with pytest.raises(IntegrityError, match="refused"), transaction.atomic():
        connection.cursor().execute(statement)
