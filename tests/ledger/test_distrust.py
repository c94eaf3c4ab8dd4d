"""Disputed or refunded payments: auto-reload stops, the card is refused for new charges, and staff are notified."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.core import mail
from django.utils import timezone

from accounts.models import Notice
from accounts.services.notices import send_notice_emails
from config.rounds import Round
from ledger import errors
from ledger.models import AutoReloadEvent, DisputeStatus, OffReason, PaymentDispute, PaymentKind, TermsChange
from ledger.providers import fake as cards
from ledger.services.adjustments.posting import adjust_credits
from ledger.services.agreement import locking
from ledger.services.controls import unfreeze_balance
from ledger.services.payments.cards import remember_card
from ledger.services.payments.reversals import note_dispute, note_refund
from ledger.services.payments.top_ups import start_top_up
from tests.account import client_of
from tests.backoffice import signed_in, staff_with, superuser
from tests.factories import StaffFactory, UserFactory
from tests.ledger.paying import bought, card, package, purchases, settled
from tests.ledger.posting import freeze
from tests.ledger.races import before_it_commits
from tests.ledger.reloading import MINUTE, NOON, agreed, change, low, reload_of, reloads, run_all, run_for, spend, told

pytestmark = pytest.mark.django_db
OPEN, WON, LOST = DisputeStatus.OPEN, DisputeStatus.WON, DisputeStatus.LOST
HISTORY = "/auth/account/auto-reload/history"


def dispute(payment, status=OPEN, *, name="dp_1", now=NOON):
    note_dispute(
        payment_id=payment.pk, provider_dispute_id=name, amount_minor=payment.amount_minor, status=status, now=now
    )


def refund(payment, minor, *, now=NOON):
    note_refund(payment_id=payment.pk, refunded_minor=minor, now=now)


def reloaded():
    """Create a customer for whom auto-reload has just bought; return the customer and the payment."""
    user = low(50)
    assert run_all() == ["succeeded"]
    return user, reloads(user)[0]


def adjust_for_chargeback(payment):
    clerk = StaffFactory()
    named = {"user_id": payment.user_id, "actor_id": clerk.pk, "idempotency_key": "a", "note": "Bank letter"}
    adjust_credits(amount=Decimal(-10), reason="chargeback", **named)


TAKEN_BACK = {
    "dispute": (dispute, OffReason.DISPUTED),
    "dispute lost at once": (lambda payment: dispute(payment, LOST), OffReason.DISPUTED),
    "refund": (lambda payment: refund(payment, payment.amount_minor), OffReason.REFUNDED),
    "refund of a part": (lambda payment: refund(payment, 1), OffReason.REFUNDED),
    "chargeback by hand": (adjust_for_chargeback, OffReason.DISPUTED),
}


@pytest.mark.parametrize("how", TAKEN_BACK)
def test_auto_reload_goes_off_with_its_reason_and_a_notice_and_buys_nothing_more(how):
    (user, payment), (take_back, reason) = reloaded(), TAKEN_BACK[how]

    take_back(payment)
    spend(user, 20)

    assert run_for(NOON, dt.timedelta(minutes=10)) == []
    assert len(reloads(user)) == 1
    assert (reload_of(user).enabled, reload_of(user).off_reason) == (False, reason)
    event = AutoReloadEvent.objects.of(user.pk).newest_first()[0]
    assert (event.kind, event.reason, event.actor_id) == ("disabled", reason, None)
    assert told(user)[-1] == "disabled"
    assert Notice.objects.of(user.pk).get(type="auto_reload.disabled").data["reason"] == reason
    assert client_of(user).get(HISTORY).json()["results"][0]["reason"] == reason


@pytest.mark.parametrize("how", ["refund", "chargeback by hand"])
def test_turning_it_on_again_requires_a_new_consent(how):
    user, payment = reloaded()
    TAKEN_BACK[how][0](payment)

    with pytest.raises(errors.ConsentRequired):
        change(user, enabled=True)
    change(user, enabled=True, consent=True)

    assert reload_of(user).enabled


def test_a_repeated_message_does_not_end_a_newer_consent():
    user, payment = reloaded()
    dispute(payment)
    refund(payment, 100)
    agreed(user, cards.AUTHENTICATE)

    dispute(payment)
    dispute(payment, LOST)
    refund(payment, 100)

    assert reload_of(user).enabled


def test_refunds_of_own_purchases_and_disputes_that_were_won_end_nothing():
    user = low(50)
    own = bought(user, cards.APPROVE)

    refund(own, 100)
    dispute(own, WON)

    assert reload_of(user).enabled


def test_no_reversal_is_recorded_when_turning_auto_reload_off_fails(monkeypatch):
    user, payment = reloaded()

    def fail(*_, **__):
        raise RuntimeError("killed")

    monkeypatch.setattr(locking, "notify_turned_off", fail)
    for take_back in (dispute, lambda payment: refund(payment, 1), adjust_for_chargeback):
        with pytest.raises(RuntimeError):
            take_back(payment)

    assert reload_of(user).enabled
    assert not PaymentDispute.objects.exists()
    payment.refresh_from_db()
    assert payment.refunded_minor == 0
    assert user.entries.filter(reason="chargeback").count() == 0


class TestCard:
    def test_a_disputed_card_is_charged_no_more_and_another_one_is(self, bob):
        disputed = bought(bob, cards.APPROVE)
        dispute(disputed)

        answer = top_up(bob, disputed.method_id)

        assert (answer.status_code, answer.json()["code"]) == (409, "payment_method_disputed")
        assert top_up(bob, card(bob, cards.AUTHENTICATE).pk).status_code == 201
        with pytest.raises(errors.ReloadTermsRefused, match="payment_method_id: A payment by this card is disputed"):
            agreed(bob)

    def test_a_repeat_of_what_it_bought_before_is_still_a_repeat(self, bob):
        package()
        first = top_up(bob, card(bob, cards.APPROVE).pk, key="one")
        dispute(bob.payments.get())

        again = top_up(bob, card(bob, cards.APPROVE).pk, key="one")

        assert (again.status_code, again.json()["id"]) == (201, first.json()["id"])

    @pytest.mark.parametrize(("ends", "status"), [(WON, 201), (LOST, 409)])
    def test_the_outcome_of_the_dispute_decides_whether_the_card_is_charged(self, bob, ends, status):
        disputed = bought(bob, cards.APPROVE)
        dispute(disputed)
        dispute(disputed, ends)

        assert top_up(bob, disputed.method_id).status_code == status

    def test_the_same_card_is_recognized_when_another_customer_saves_it(self, bob, alice):
        dispute(bought(bob, cards.APPROVE))
        first = bob.payment_methods.get()
        first.fingerprint = "the plastic"
        first.save()

        for user in (bob, alice):
            again = card(user, cards.AUTHENTICATE)
            again.fingerprint = "the plastic"
            again.save()
            assert top_up(user, again.pk).status_code == 409

    def test_a_card_saved_on_the_providers_page_is_recognized(self, bob):
        paid = settled(bought(bob))
        saved = bob.payment_methods.get()
        assert paid.paid_with == saved.provider_method_id

        dispute(paid)

        assert top_up(bob, saved.pk).status_code == 409

    def test_auto_reload_with_a_card_that_another_customer_disputed_is_turned_off(self, alice):
        user = low(50)
        reload_of(user).method.__class__.objects.update(fingerprint="the plastic")
        other = bought(alice, cards.APPROVE)
        alice.payment_methods.update(fingerprint="the plastic")
        dispute(other)

        assert run_all() == ["turned_off"]
        assert reload_of(user).off_reason == OffReason.DISPUTED
        assert reloads(user) == []

    def test_cards_are_remembered_with_the_providers_name_for_the_plastic(self, bob):
        saved = remember_card(user_id=bob.pk, provider_name="fake", method_id=f"{cards.APPROVE}:x")

        assert saved.fingerprint == f"{cards.APPROVE}:x"


@pytest.mark.django_db(transaction=True)
class TestRace:
    def test_a_round_that_comes_while_a_dispute_is_noted_buys_nothing(self):
        user = low(50)
        own = bought(user, cards.AUTHENTICATE)

        _, outcomes = before_it_commits(lambda: dispute(own), lambda: run_all(NOON + MINUTE))

        assert outcomes == ["off"]
        assert user.payments.filter(kind=PaymentKind.AUTO_RELOAD).count() == 0

    def test_a_purchase_that_comes_while_a_dispute_is_noted_is_refused(self):
        bob = UserFactory()
        disputed = bought(bob, cards.APPROVE)

        def buy_again():
            with pytest.raises(errors.CardDisputed):
                start_top_up(
                    user_id=bob.pk, email=bob.email, package_code="small", payment_method_id=disputed.method_id,
                    idempotency_key="again", now=timezone.now(),
                )  # fmt: skip

        before_it_commits(lambda: dispute(disputed), buy_again)

        assert purchases(bob) == [1000, -1000]


class TestStaff:
    def test_staff_who_may_hear_of_disputes_get_one_email_and_the_customer_a_webhook(self, bob):
        boss, hears, deaf = superuser(), staff_with("ledger.hear_of_disputes"), staff_with("ledger.view_payment")
        gone = staff_with("ledger.hear_of_disputes", is_active=False)
        payment = bought(bob, cards.APPROVE, now=NOON)
        for status in (OPEN, OPEN, LOST):
            dispute(payment, status)

        send_notice_emails(Round(), now=timezone.now(), most=10)

        disputes = [email for email in mail.outbox if "disputed" in email.subject]
        assert sorted(email.to[0] for email in disputes) == sorted([boss.email, hears.email])
        for part in (bob.email, "12.50 USD", "dp_1", f"payment {payment.pk}"):
            assert part in disputes[0].body
        assert not Notice.objects.filter(user__in=[deaf, gone]).exists()
        (heard,) = Notice.objects.of(bob.pk).filter(type="payment.disputed")
        assert (heard.subject, heard.data["amount"]) == (None, 12.5)

    def test_a_dispute_freezes_the_balance_when_the_setting_says_so(self, bob, settings):
        settings.DISPUTE_FREEZES_ACCOUNT = True
        payment = bought(bob, cards.APPROVE)

        dispute(payment)
        bob.balance.refresh_from_db()
        assert bob.balance.frozen_at is not None
        unfreeze_balance(user_id=bob.pk, note="Spoke to him", actor_id=StaffFactory().pk, idempotency_key="a")
        dispute(payment, LOST)

        bob.balance.refresh_from_db()
        assert bob.balance.frozen_at is None
        change = TermsChange.objects.get(kind="freeze")
        assert (change.actor_id, change.note) == (None, f"Payment {payment.pk} was disputed (dp_1).")
        page = signed_in(superuser()).get("/admin/ledger/termschange/")
        assert "was disputed (dp_1)" in page.content.decode()

    @pytest.mark.parametrize("wanted", [True, False])
    def test_a_frozen_balance_stays_frozen_and_none_is_frozen_without_the_setting(self, bob, settings, wanted):
        settings.DISPUTE_FREEZES_ACCOUNT = wanted
        payment = bought(bob, cards.APPROVE)
        if wanted:
            freeze(bob)

        dispute(payment)

        bob.balance.refresh_from_db()
        assert (bob.balance.frozen_at is not None) == wanted
        assert purchases(bob) == [1000, -1000]


def top_up(user, payment_method_id, key="again"):
    package()
    body = {"package": "small", "payment_method_id": payment_method_id}
    return client_of(user).post("/auth/account/top-ups", body, headers={"Idempotency-Key": key})
