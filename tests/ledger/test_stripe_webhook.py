"""`POST /webhooks/stripe`: signed messages, in any order, any number of times."""

from __future__ import annotations

import itertools
import json
import time
import uuid

import pytest
from django.test import Client
from django.utils import timezone

from ledger.models import Payment, PaymentCustomer, PaymentMethod, PaymentOutcome
from ledger.providers.stripe_webhooks import sign
from tests.accounts.races import at_once
from tests.ledger.paying import package, purchases
from tests.ledger.stripes import Recorded
from tests.usage.outages import database_away
from usage.services.reconciliation import Scope, reconcile

PATH = "/webhooks/stripe"
SECRETS = OLD, NEW = "whsec_old", "whsec_new"
pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _secrets(settings):
    settings.STRIPE_WEBHOOK_SECRETS = [NEW, OLD]


@pytest.fixture
def payment(bob):
    """Create a payment at Stripe whose answer has not come yet."""
    now = timezone.now()
    return Payment.objects.create(
        user=bob,
        package=package(),
        credits=1000,
        amount_minor=1250,
        currency="USD",
        provider="stripe",
        provider_key=uuid.uuid4(),
        provider_customer_id="cus_bob",
        idempotency_key="one",
        fingerprint=b"",
        created_at=now,
        asked_at=now,
        expires_at=now,
    )


def send(event, *, secret=NEW, age=0, body=None, signature=None):
    body = json.dumps(event).encode() if body is None else body
    at = str(int(time.time()) - age)
    header = f"t={at},v1={sign(body, secret, at=at)}" if signature is None else signature
    return Client().post(PATH, body, content_type="application/json", headers={"Stripe-Signature": header})


def event(kind, **thing):
    return {"id": "evt_1", "object": "event", "type": kind, "data": {"object": thing}}


def intent(payment, status="succeeded", kind="payment_intent.succeeded", **said):
    usual = {
        "id": "pi_1",
        "object": "payment_intent",
        "status": status,
        "amount": 1250,
        "currency": "usd",
        "customer": "cus_bob",
        "payment_method": None,
        "metadata": {"tollbook_payment": str(payment.provider_key)},
    }
    return event(kind, **usual | said)


def failed(payment):
    error = {"code": "card_declined", "message": "Your card was declined."}
    return intent(payment, "requires_payment_method", "payment_intent.payment_failed", last_payment_error=error)


def checkout(payment, kind="completed", status="complete", paid="paid", **said):
    usual = {
        "id": "cs_1",
        "object": "checkout.session",
        "mode": "payment",
        "status": status,
        "payment_status": paid,
        "amount_total": 1250,
        "currency": "usd",
        "customer": "cus_bob",
        "payment_intent": "pi_1",
        "url": None,
        "metadata": {"tollbook_payment": str(payment.provider_key)},
    }
    return event(f"checkout.session.{kind}", **usual | said)


def refunded(minor=1250, **said):
    usual = {"id": "ch_1", "payment_intent": "pi_1", "amount_refunded": minor, "currency": "usd", "metadata": {}}
    return event("charge.refunded", **usual | said)


def dispute(kind, status, **said):
    usual = {"id": "dp_1", "payment_intent": "pi_1", "amount": 1250, "currency": "usd", "status": status}
    return event(f"charge.dispute.{kind}", **usual | said)


@pytest.mark.parametrize("secret", [OLD, NEW])
def test_both_secrets_are_good(payment, bob, secret):
    answer = send(intent(payment), secret=secret)

    assert (answer.status_code, answer.json()) == (200, {"received": True, "applied": True})
    assert purchases(bob) == [1000]


@pytest.mark.parametrize(
    "how",
    [
        {"secret": "whsec_other"},
        {"age": 310},
        {"age": -310},
        {"signature": ""},
        {"signature": "t=1"},
        {"signature": "t=x,v1=y"},
        {"signature": "v1=é"},
        {"signature": "t=" + "9" * 5000 + ",v1=0"},
    ],
)
def test_a_message_without_a_current_signature_is_refused(payment, bob, how):
    answer = send(intent(payment), **how)

    assert (answer.status_code, answer.json()["code"]) == (401, "signature_invalid")
    assert answer.headers["WWW-Authenticate"]
    assert purchases(bob) == []


def test_a_signature_is_good_for_its_own_body_alone(payment, bob):
    body, at = json.dumps(intent(payment)).encode(), str(int(time.time()))
    signature = f"t={at},v1={sign(body, NEW, at=at)}"

    assert send(None, body=body.replace(b"1250", b"1251"), signature=signature).status_code == 401
    assert send(None, body=body, signature=f"{signature},v1=00").status_code == 200


def test_every_message_is_refused_without_secrets(payment, settings):
    settings.STRIPE_WEBHOOK_SECRETS = []

    assert send(intent(payment), secret="").status_code == 401


def test_signed_messages_are_not_limited(payment, settings):
    settings.RATE_LIMIT_PER_ADDRESS = 1

    assert {send(event("a.b")).status_code for _ in range(3)} == {200}


@pytest.mark.parametrize("kind", ["customer.created", "charge.succeeded", "invoice.paid", "x"])
def test_an_unknown_type_is_accepted_and_changes_nothing(payment, kind):
    answer = send(event(kind, id="x"))

    assert (answer.status_code, answer.json()["applied"]) == (200, False)


@pytest.mark.parametrize(
    "message",
    [
        {"type": "payment_intent.succeeded"},
        event("payment_intent.succeeded", id="pi_1", status="odd"),
        event("payment_intent.succeeded", id="pi_1", status="succeeded", amount="1250", currency="usd"),
        event("charge.refunded", payment_intent="pi_1", currency="usd"),
        event("charge.dispute.created", id="dp", payment_intent="pi_1", amount=1, currency="usd", status="odd"),
        [],
        "x",
    ],
)
def test_an_unknown_shape_is_an_error(payment, message):
    answer = send(message)

    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_not_understood")


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b'{"a":1,"a":2}'])
def test_a_body_that_is_not_json_is_a_400(body):
    assert send(None, body=body).status_code == 400


@pytest.mark.parametrize("said", [{"amount": 1}, {"currency": "eur"}, {"customer": "cus_eve"}, {"customer": None}])
def test_a_payment_that_does_not_match_ours_is_not_credited(payment, bob, said):
    answer = send(intent(payment, **said))

    assert (answer.status_code, answer.json()["code"]) == (409, "payment_mismatch")
    assert purchases(bob) == []
    assert PaymentOutcome.objects.filter(payment=payment, outcome="mismatch").exists()


def test_a_payment_of_another_site_is_ignored(payment, bob):
    stranger = intent(payment, metadata={"tollbook_payment": str(uuid.uuid4())})

    for message in (stranger, intent(payment, metadata={}), intent(payment, metadata={"tollbook_payment": "x"})):
        assert send(message).json()["applied"] is False
    assert purchases(bob) == []


def test_five_messages_about_one_payment_in_any_order_credit_once(payment, bob):
    messages = [intent(payment), checkout(payment), failed(payment), intent(payment, "processing"), intent(payment)]

    for order in itertools.islice(itertools.permutations(messages), 0, 120, 17):
        assert {send(message).status_code for message in order} == {200}

    assert purchases(bob) == [1000]
    assert reconcile(Scope())[1] == []


def test_a_declined_card_on_the_providers_page_leaves_the_payment_pending(payment, bob):
    send(failed(payment))

    payment.refresh_from_db()
    assert (payment.state, payment.failure_code) == ("pending", "card_declined")
    send(checkout(payment))
    assert purchases(bob) == [1000]


@pytest.mark.parametrize(
    ("message", "state"),
    [
        (("expired", "expired", "unpaid"), "expired"),
        (("completed", "complete", "unpaid"), "pending"),
        (("async_payment_failed", "complete", "unpaid"), "expired"),
        (("async_payment_succeeded", "complete", "paid"), "succeeded"),
    ],
)
def test_a_message_about_a_page_sets_the_state_of_its_payment(payment, message, state):
    assert send(checkout(payment, *message)).status_code == 200

    payment.refresh_from_db()
    assert (payment.state, payment.checkout_id) == (state, "cs_1")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_refund_dispute_and_payment_have_the_same_effect_in_any_order(payment, bob, order):
    Payment.objects.filter(pk=payment.pk).update(provider_payment_id="pi_1")
    messages = [intent(payment), refunded(625), dispute("created", "needs_response")]

    for _ in range(2):
        for place in order:
            assert send(messages[place]).json()["applied"] is True

    assert sum(purchases(bob)) == 0
    send(dispute("closed", "won"))
    assert sum(purchases(bob)) == 500
    assert reconcile(Scope())[1] == []


def test_an_inquiry_takes_nothing_back_until_it_becomes_a_dispute(payment, bob):
    send(intent(payment))
    send(dispute("created", "warning_needs_response"))
    assert purchases(bob) == [1000]

    send(dispute("funds_withdrawn", "needs_response"))
    send(dispute("closed", "lost"))

    assert purchases(bob) == [1000, -1000]


@pytest.mark.parametrize("message", [refunded(currency="eur"), dispute("created", "lost", currency="eur")])
def test_a_reversal_in_another_currency_is_refused(payment, bob, message):
    send(intent(payment))

    assert send(message).status_code == 409
    assert purchases(bob) == [1000]


def test_a_card_that_was_removed_at_stripe_is_removed_here(bob):
    PaymentMethod.objects.create(
        user=bob, provider="stripe", provider_method_id="pm_1", brand="visa", last4="4242", expiry_month=1,
        expiry_year=2040,
    )  # fmt: skip

    assert send(event("payment_method.detached", id="pm_1")).json()["applied"] is True
    assert PaymentMethod.objects.get().removed_at is not None


def test_a_message_about_a_card_that_cannot_be_read_is_refused_so_that_it_is_sent_again(bob):
    PaymentCustomer.objects.create(user=bob, provider="stripe", provider_customer_id="cus_bob")
    saved = {"id": "seti_1", "payment_method": "pm_1"}

    answer = send(event("setup_intent.succeeded", customer="cus_bob", **saved))

    assert (answer.status_code, answer.json()["code"]) == (503, "payment_provider_away")
    assert send(event("setup_intent.succeeded", customer="cus_eve", **saved)).json()["applied"] is False


@pytest.mark.django_db(transaction=True)
def test_five_webhooks_at_once_credit_once(payment, bob):
    messages = iter([intent(payment), checkout(payment), intent(payment), failed(payment), checkout(payment)])

    outcomes = at_once(5, lambda: send(next(messages)).status_code)

    assert outcomes == [200] * 5
    assert purchases(bob) == [1000]
    assert reconcile(Scope())[1] == []


@pytest.mark.django_db(transaction=True)
def test_a_message_is_refused_so_that_it_is_sent_again_when_the_database_is_away(payment, bob):
    message = intent(payment)

    with database_away():
        answer = send(message)

    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert send(message).status_code == 200
    assert purchases(bob) == [1000]


LIVE, TEST = "sk_live_1", "sk_test_1"


@pytest.mark.parametrize(
    ("key", "said", "is_believed"),
    [
        (LIVE, {"livemode": True}, True),
        (LIVE, {"livemode": False}, False),
        (LIVE, {}, False),
        ("rk_live_1", {"livemode": False}, False),
        (TEST, {"livemode": False}, True),
        (TEST, {"livemode": True}, False),
        ("rk_test_1", {"livemode": True}, False),
        (LIVE, {"livemode": True, "account": "acct_other"}, False),
        (TEST, {"account": "acct_other"}, False),
        (TEST, {"account": "acct_ours"}, True),
    ],
)
@pytest.mark.parametrize("make", [intent, lambda payment: checkout(payment)])
def test_a_message_of_test_mode_or_another_account_is_accepted_and_ignored(
    payment, bob, settings, caplog, key, said, is_believed, make
):
    settings.STRIPE_SECRET_KEY, settings.STRIPE_ACCOUNT = key, "acct_ours"

    answer = send(make(payment) | said)

    assert (answer.status_code, answer.json()) == (200, {"received": True, "applied": is_believed})
    assert purchases(bob) == [1000] * is_believed
    assert ("is not believed" in caplog.text) is not is_believed


@pytest.mark.parametrize("news", [refunded(), dispute("created", "needs_response")])
def test_its_news_of_refunds_and_disputes_is_ignored(payment, bob, settings, news):
    send(intent(payment))
    settings.STRIPE_SECRET_KEY = LIVE

    assert send(news | {"livemode": False}).json()["applied"] is False
    assert send(news | {"livemode": True, "account": "acct_other"}).json()["applied"] is False
    assert purchases(bob) == [1000]
    assert send(news | {"livemode": True}).json()["applied"] is True
    assert purchases(bob) == [1000, -1000]


def test_a_message_that_alone_names_a_card_is_refused_when_the_card_cannot_be_read(payment, bob, settings):
    settings.STRIPE_SECRET_KEY = TEST
    message = intent(payment, payment_method="pm_1")
    card = {"brand": "visa", "last4": "4242", "exp_month": 1, "exp_year": 2040, "fingerprint": "plastic"}
    with Recorded(None, (200, {"id": "pm_1", "object": "payment_method", "card": card})) as stripe:
        settings.STRIPE_API_URL = stripe.url
        first, again = send(message), send(message)

    assert (first.status_code, again.status_code) == (503, 200)
    assert purchases(bob) == [1000]
    assert (PaymentMethod.objects.get().user, PaymentMethod.objects.get().fingerprint) == (bob, "plastic")
    payment.refresh_from_db()
    assert payment.paid_with == "pm_1"
