"""Buying through Stripe's client, localstripe and its signed webhooks, which reach the site over HTTP."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest
from django.utils import timezone

from ledger.models import OutcomeSource, Payment, PaymentMethod, PaymentOutcome, PaymentState
from ledger.providers.base import NoAnswer
from ledger.providers.registry import chosen_provider
from ledger.services.payments.cards import customer_at, remember_card
from ledger.services.payments.provider_checks import compare_with_provider
from ledger.services.payments.refunds import settle_refund
from ledger.services.payments.top_ups import start_top_up
from ledger.services.reconciliation.checks import Scope
from tests.ledger.paying import LATER, package, purchases, settled
from tests.ledger.refunding import refunded
from tests.ledger.running import run
from tests.ledger.stripes import KEY, Recorded, localstripe
from tests.ledger.test_stripe_webhook import checkout, intent, send

SECRET = "whsec_real"
NUMBER = "4242424242424242"


@pytest.fixture(scope="module")
def stripe_url() -> Iterator[str]:
    with localstripe() as url:
        yield url


@pytest.fixture
def _at_stripe(settings, live_server, stripe_url):
    settings.PAYMENT_PROVIDER, settings.STRIPE_SECRET_KEY, settings.STRIPE_API_URL = "stripe", KEY, stripe_url
    settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
    settings.TOP_UP_URL = ""  # localstripe does not know return_url
    hook = urlencode({"url": f"{live_server.url}/webhooks/stripe", "secret": SECRET}).encode()
    with urlopen(Request(f"{stripe_url}/_config/webhooks/site", hook), timeout=10):
        pass


def saved_card(user) -> PaymentMethod:
    provider = chosen_provider()
    methods = provider.client.v1.payment_methods
    made = methods.create({"type": "card", "card": {"number": NUMBER, "exp_month": 12, "exp_year": 2040, "cvc": "123"}})
    methods.attach(made.id, {"customer": customer_at(provider=provider, user_id=user.pk, email=user.email)})
    return remember_card(user_id=user.pk, provider_name="stripe", method_id=made.id)


def buy(user) -> Payment:
    package()
    return start_top_up(
        user_id=user.pk,
        email=user.email,
        package_code="small",
        payment_method_id=saved_card(user).pk,
        idempotency_key=uuid.uuid4().hex,
        now=timezone.now(),
    ).payment


def wait_for_webhook(payment, seconds=15) -> bool:
    """Wait for the webhook about a payment."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if Payment.objects.get(pk=payment.pk).state == PaymentState.SUCCEEDED:
            return True
        time.sleep(0.05)
    return False


@pytest.mark.usefixtures("_at_stripe")
@pytest.mark.django_db(transaction=True)
def test_a_charge_whose_answer_was_lost_is_credited_by_the_webhook_and_once(bob, monkeypatch):
    provider = chosen_provider()
    charge = provider.charge

    def lost(order):
        charge(order)
        raise NoAnswer("The connection broke.")

    with monkeypatch.context() as broken:
        broken.setattr(provider, "charge", lost)
        payment = buy(bob)
    assert payment.state == PaymentState.PENDING

    assert wait_for_webhook(payment)
    assert settled(payment, after=LATER).state == PaymentState.SUCCEEDED

    assert purchases(bob) == [1000]
    sources = PaymentOutcome.objects.filter(payment=payment, outcome="succeeded").values_list("source", flat=True)
    assert list(sources) == [OutcomeSource.WEBHOOK]
    assert run("reconcile", "--json").json["findings"] == []


@pytest.mark.usefixtures("_at_stripe")
@pytest.mark.django_db(transaction=True)
def test_a_good_card_is_credited_by_the_answer(bob):
    payment = buy(bob)

    assert payment.state == PaymentState.SUCCEEDED
    assert payment.provider_payment_id.startswith("pi_")
    assert purchases(bob) == [1000]


@pytest.mark.usefixtures("_at_stripe")
@pytest.mark.django_db(transaction=True)
def test_refunds_by_staff_are_made_once_and_agree_with_stripes_books(bob, monkeypatch):
    payment = buy(bob)
    provider, refund = chosen_provider(), chosen_provider().refund

    def lost(*args, **named):
        refund(*args, **named)
        raise NoAnswer("The connection broke.")

    first = refunded(payment, 250)
    with monkeypatch.context() as unlucky:
        unlucky.setattr(provider, "refund", lost)
        second = refunded(payment, 375)
    later = timezone.now() + LATER
    for _ in range(2):
        settle_refund(refund_id=second.pk, now=later)

    second.refresh_from_db()
    payment.refresh_from_db()
    assert (first.state, second.state, payment.refunded_minor) == ("made", "made", 625)
    assert purchases(bob) == [1000, -200, -300]
    assert compare_with_provider("stripe", Scope(user_id=bob.pk), now=later).findings == []
    assert run("reconcile", "--user", bob.email, "--json").json["findings"] == []


@pytest.mark.django_db
def test_the_card_of_a_page_is_saved_from_any_message_that_names_it(bob, settings):
    settings.STRIPE_WEBHOOK_SECRETS = ["whsec_new"]
    now = timezone.now()
    payment = Payment.objects.create(
        user=bob, package=package(), credits=1000, amount_minor=1250, currency="USD", provider="stripe",
        provider_key=uuid.uuid4(), provider_customer_id="cus_bob", idempotency_key="one", fingerprint=b"",
        created_at=now, asked_at=now, expires_at=now,
    )  # fmt: skip
    card = {"brand": "visa", "last4": "4242", "exp_month": 12, "exp_year": 2040}
    with Recorded((200, {"id": "pm_1", "object": "payment_method", "customer": "cus_bob", "card": card})) as stripe:
        settings.STRIPE_SECRET_KEY, settings.STRIPE_API_URL = KEY, stripe.url
        for message in (checkout(payment), intent(payment, payment_method="pm_1")):
            assert send(message, secret="whsec_new").status_code == 200

    assert list(PaymentMethod.objects.filter(user=bob).values_list("last4", flat=True)) == ["4242"]
    assert purchases(bob) == [1000]
