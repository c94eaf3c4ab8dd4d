"""`manage.py settle_payments`: one round over everything that lacks an answer, a reversal or a receipt."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.mail.backends.locmem import EmailBackend
from django.utils import timezone

from accounts.models import Notice
from accounts.services.notices import notify_customer
from config.cli.run_lock import run_lock
from ledger.models import Payment, PaymentDispute
from ledger.providers import fake as cards
from ledger.providers.base import NoAnswer
from ledger.services.payments.reversals import note_refund
from tests.ledger.paying import LATER, bought, fake, purchases
from tests.ledger.posting import post
from tests.ledger.running import run

pytestmark = pytest.mark.django_db(transaction=True)
NOTHING = {
    "asked": 0,
    "pending": 0,
    "requires_action": 0,
    "succeeded": 0,
    "failed": 0,
    "expired": 0,
    "refused": 0,
    "refunds": 0,
    "refunds_refused": 0,
    "reversals": 0,
    "reversals_already_spent": 0,
    "receipts": 0,
    "errors": 0,
    "dry_run": False,
}


def bought_earlier(user, method_id=None):
    return bought(user, method_id, now=timezone.now() - LATER)


def test_a_round_settles_all_that_is_in_doubt_and_the_next_finds_nothing(bob):
    bought_earlier(bob, cards.ANSWER_LOST)
    bought_earlier(bob, cards.TIME_OUT)
    bought_earlier(bob, cards.AUTHENTICATE)
    bought_earlier(bob)
    gone = bought_earlier(bob)
    fake().give_up(gone.provider_key)
    bought(bob, cards.TIME_OUT)  # just now

    first, second = run("settle_payments", "--json"), run("settle_payments", "--json")

    assert first.code == second.code == 0
    states = {"succeeded": 2, "failed": 1, "requires_action": 1, "expired": 1}
    assert first.json == NOTHING | {"asked": 5, "receipts": 2} | states
    assert second.json == NOTHING
    assert purchases(bob) == [1000, 1000]


def test_a_dry_run_counts_and_changes_nothing(bob):
    payment = bought_earlier(bob, cards.ANSWER_LOST)

    ran = run("settle_payments", "--dry-run", "--json")

    assert ran.json == NOTHING | {"asked": 1, "dry_run": True}
    assert Payment.objects.get(pk=payment.pk).state == "pending"


def test_spent_credits_are_taken_back_when_available(bob):
    payment = bought(bob, cards.APPROVE)
    post(bob, -1000)
    note_refund(payment_id=payment.pk, refunded_minor=1250, now=timezone.now())
    assert run("settle_payments", "--json").json == NOTHING | {"reversals_already_spent": 1, "receipts": 1}
    post(bob, 1500)

    assert purchases(bob) == [1000, -1000]  # without waiting for the round
    assert run("settle_payments", "--json").json == NOTHING


def test_a_round_takes_reversals_that_were_noted_and_not_taken(bob):
    payment = bought(bob, cards.APPROVE)
    PaymentDispute.objects.create(payment=payment, provider_dispute_id="dp_1", amount_minor=1250, status="open")

    assert run("settle_payments", "--json").json == NOTHING | {"reversals": 1, "receipts": 1}
    assert purchases(bob) == [1000, -1000]


def test_receipts_are_sent_when_the_money_is_settled_and_the_lock_is_free_again(bob, monkeypatch):
    seen = []

    def noted(self, messages):
        with run_lock("settle_payments", wait_seconds=0):
            seen.append(Payment.objects.filter(state="succeeded").count())
        return len(messages)

    monkeypatch.setattr(EmailBackend, "send_messages", noted)
    for _ in range(2):
        bought_earlier(bob, cards.ANSWER_LOST)

    assert run("settle_payments", "--json").json["receipts"] == 2
    assert seen == [2, 2]


def test_an_unreachable_mail_server_is_tried_once_a_round_and_payments_are_settled(bob, monkeypatch):
    asked = []

    def down(self, messages):
        asked.append(messages)
        raise TimeoutError

    with monkeypatch.context() as broken:
        broken.setattr(EmailBackend, "send_messages", down)
        for _ in range(3):
            bought_earlier(bob, cards.ANSWER_LOST)
        ran = run("settle_payments", "--json")

    assert (ran.json["succeeded"], ran.json["receipts"], len(asked)) == (3, 0, 1)
    Notice.objects.update(email_due_at=timezone.now())
    assert run("settle_payments", "--json").json == NOTHING | {"receipts": 3}
    assert len(mail.outbox) == 3


def test_only_receipts_are_sent_and_a_dry_run_counts_them(bob):
    bought(bob, cards.APPROVE)
    told = {"user_id": bob.pk, "type": "balance.low", "key": "a", "data": {}, "subject": "Low", "body": "Low."}
    notify_customer(**told, now=timezone.now())

    assert run("settle_payments", "--json", "--dry-run").json["receipts"] == 1
    assert run("settle_payments", "--json").json["receipts"] == 1
    assert [email.subject for email in mail.outbox] == ["Receipt: 1,000 credits"]


def test_a_payment_beyond_the_balance_limit_is_a_finding(bob):
    bought_earlier(bob, cards.ANSWER_LOST)
    post(bob, "999999999")

    ran = run("settle_payments", "--json")

    assert (ran.code, ran.json["refused"]) == (3, 1)
    assert purchases(bob) == []


def test_a_provider_that_does_not_answer_is_asked_three_times_and_reversals_are_settled(bob, monkeypatch):
    payment = bought(bob, cards.APPROVE)
    PaymentDispute.objects.create(payment=payment, provider_dispute_id="dp_1", amount_minor=1250, status="open")
    for _ in range(5):
        bought_earlier(bob, cards.AUTHENTICATE)
    asked = []

    def silent(order):
        asked.append(order.key)
        raise NoAnswer("no route")

    with monkeypatch.context() as broken:
        broken.setattr(fake(), "look_up", silent)
        ran = run("settle_payments", "--json")
        first = list(asked)
        run("settle_payments")

    assert (ran.code, ran.json["asked"], ran.json["requires_action"], ran.json["reversals"]) == (0, 3, 3, 1)
    assert "did not answer 3 times in a row" in ran.err
    assert len(asked) == 5  # the next round goes on where this one ended
    assert set(asked[3:]).isdisjoint(first)
