"""Sending a receipt again: to a verified address, by the outbox, a few times a day."""

from __future__ import annotations

import pytest
from django.core import mail
from django.urls import reverse
from django.utils import timezone

from accounts.models import Notice, User, WebhookDelivery
from accounts.services.notices import send_notice_emails
from config.rounds import Round
from ledger.providers import fake as cards
from ledger.services.payments.resending import MOST_A_DAY
from ledger.services.receipts import RECEIPT_AGAIN, RECEIPT_TYPES
from tests.accounts.races import at_once
from tests.accounts.webhooks import endpoint_of
from tests.backoffice import new_form, page_of, signed_in, staff_log_of, staff_with, superuser
from tests.ledger.paying import bought

pytestmark = pytest.mark.django_db
MAY = ("ledger.view_payment", "ledger.resend_receipt")


@pytest.fixture
def payment(bob):
    User.objects.filter(pk=bob.pk).update(email_verified_at=timezone.now())
    return bought(bob, cards.APPROVE)


def url(payment):
    return reverse("admin:ledger_payment_resend_receipt", args=[payment.pk])


def again(user):
    return Notice.objects.of(user.pk).filter(type=RECEIPT_AGAIN)


def send_emails():
    mail.outbox.clear()
    send_notice_emails(Round(), now=timezone.now(), most=100, types=RECEIPT_TYPES)
    return mail.outbox


def test_staff_send_the_same_receipt_again_by_email_alone(bob, payment):
    endpoint_of(bob)
    (first,) = send_emails()[:]
    hooks = WebhookDelivery.objects.count()
    client = signed_in(staff_with(*MAY))
    assert url(payment) in client.get(page_of("ledger_payment", payment.pk)).content.decode()

    preview = client.post(url(payment), new_form(step="preview"))
    before = again(bob).count()
    client.post(url(payment), new_form("Lost it"))

    (second,) = send_emails()
    assert preview.context["preview"] == [("To", "bob@example.com"), ("Payment", str(payment.pk))]
    assert before == 0
    assert (second.subject, second.body, second.to) == (first.subject, first.body, ["bob@example.com"])
    assert WebhookDelivery.objects.count() == hooks
    assert staff_log_of(payment) == [
        f"Sent the receipt again (To: bob@example.com; Payment: {payment.pk}). Reason: Lost it"
    ]


def test_a_receipt_goes_to_verified_addresses_only(bob, payment):
    User.objects.filter(pk=bob.pk).update(email_verified_at=None)

    answer = signed_in(superuser()).post(url(payment), new_form())

    assert "Nothing was sent. The customer's address is not verified" in answer.content.decode().replace("&#x27;", "'")
    assert not again(bob).exists()


def test_a_payment_that_was_not_paid_has_no_receipt(bob, payment):
    unpaid = bought(bob, cards.TIME_OUT)
    client = signed_in(superuser())

    answer = client.post(url(unpaid), new_form())

    assert "There is no receipt: this payment was not paid." in answer.content.decode()
    assert url(unpaid) not in client.get(page_of("ledger_payment", unpaid.pk)).content.decode()


def test_a_customer_gets_a_few_receipts_a_day_whoever_sends_them(bob, payment):
    other = bought(bob, cards.APPROVE)

    for _ in range(MOST_A_DAY):
        signed_in(superuser()).post(url(payment), new_form())
    answer = signed_in(superuser()).post(url(other), new_form())

    assert f"{MOST_A_DAY} receipts again within a day" in answer.content.decode()
    assert again(bob).count() == MOST_A_DAY


@pytest.mark.parametrize("permissions", [(), ("ledger.view_payment", "ledger.settle_payment"), (MAY[1],)])
def test_sending_is_a_permission_of_its_own(bob, payment, permissions):
    client = signed_in(staff_with(*permissions))

    assert [client.get(url(payment)).status_code, client.post(url(payment), new_form()).status_code] == [403, 403]
    assert not again(bob).exists()


@pytest.mark.django_db(transaction=True)
def test_sixteen_forms_at_once_send_no_more_than_the_limit(bob, payment):
    boss = superuser()

    at_once(16, lambda: signed_in(boss).post(url(payment), new_form()).status_code)

    assert again(bob).count() == MOST_A_DAY
