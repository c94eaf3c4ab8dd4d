"""Notices to customers about their own purchases."""

from __future__ import annotations

import pytest
from django.core import mail
from django.utils import timezone

from accounts.models import Notice
from accounts.services.notices import send_notice_emails
from config.rounds import Round
from ledger.providers import fake as cards
from ledger.services.payments.settling import settle_payment
from tests.ledger.paying import bought

pytestmark = pytest.mark.django_db


def told(user):
    return [(notice.type, notice.key, notice.data) for notice in Notice.objects.of(user.pk).order_by("id")]


def test_a_succeeded_purchase_is_notified_once_and_its_email_is_the_receipt(alice):
    payment = bought(alice, cards.APPROVE)

    settle_payment(payment_id=payment.pk, now=timezone.now())

    bought_what = {"payment_id": payment.pk, "credits": 1000, "price": 12.5, "currency": "USD"}
    assert told(alice) == [("top_up.succeeded", str(payment.pk), bought_what)]
    assert send_notice_emails(Round(), now=timezone.now(), most=10) == 1
    assert [email.subject for email in mail.outbox] == ["Receipt: 1,000 credits"]


def test_a_declined_purchase_is_notified_with_its_reason(alice):
    payment = bought(alice, cards.DECLINE)

    ((type_, key, data),) = told(alice)

    assert (type_, key) == ("top_up.failed", str(payment.pk))
    assert data["failure_code"] == payment.failure_code
    assert data["failure_message"] == payment.failure_message


def test_a_pending_purchase_is_not_notified(alice):
    bought(alice)
    bought(alice, cards.AUTHENTICATE)

    assert told(alice) == []
