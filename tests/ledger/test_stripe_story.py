"""The whole path of money through localstripe: saved card, purchase, reload, decline, confirmation, refund."""

from __future__ import annotations

import json
from urllib.parse import urlencode
from urllib.request import Request, urlopen

import pytest

from accounts.models import Notice
from ledger.models import Payment, PaymentState
from ledger.providers.registry import chosen_provider
from ledger.selectors import balance_of
from ledger.services.payments.cards import customer_at, remember_card
from tests.account import client_of
from tests.factories import UserFactory
from tests.ledger.paying import package
from tests.ledger.running import run
from tests.ledger.stripes import KEY, localstripe
from tests.ledger.test_stripe_for_real import SECRET, wait_for_webhook
from tests.ledger.test_stripe_webhook import refunded, send
from tests.usage.metering import charge, price

GOOD, DECLINED, CONFIRMED = "4242424242424242", "4000000000000341", "4000002500003155"
RELOAD = "/auth/account/auto-reload"
pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stripe_url(settings, live_server):
    with localstripe() as url:
        settings.PAYMENT_PROVIDER, settings.STRIPE_SECRET_KEY, settings.STRIPE_API_URL = "stripe", KEY, url
        settings.STRIPE_WEBHOOK_SECRETS = [SECRET]
        settings.TOP_UP_URL = ""  # localstripe does not know return_url
        hook = urlencode({"url": f"{live_server.url}/webhooks/stripe", "secret": SECRET}).encode()
        with urlopen(Request(f"{url}/_config/webhooks/site", hook), timeout=10):
            yield url


@pytest.fixture
def api(stripe_url):
    return chosen_provider().client.v1


class Customer:
    """A customer who has saved a card in the browser, has bought 1,000 credits with it, and reloads below 900."""

    def __init__(self, api, email, number=GOOD):
        self.user = UserFactory(email=email)
        self.client = client_of(self.user)
        self.card_id = self._save_card(api, GOOD)
        self.payment = Payment.objects.get(pk=self._buy())
        if number != GOOD:
            self.card_id = self._save_card(api, number)
        self.agreed = self._agree()

    def _save_card(self, api, number):
        card = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
        made = api.payment_methods.create({"type": "card", "card": card})
        customer_id = customer_at(provider=chosen_provider(), user_id=self.user.pk, email=self.user.email)
        api.payment_methods.attach(made.id, {"customer": customer_id})
        remember_card(user_id=self.user.pk, provider_name="stripe", method_id=made.id)
        return self.client.get("/auth/account/payment-methods").json()["results"][0]["id"]

    def _buy(self):
        asked = {"package": package().code, "payment_method_id": self.card_id}
        answer = self.client.post("/auth/account/top-ups", asked, headers={"Idempotency-Key": "first"})
        assert answer.json()["state"] == "succeeded", answer.json()
        return answer.json()["id"]

    def _agree(self):
        terms = {"enabled": True, "consent": True, "threshold": 900, "amount": 1000, "monthly_cap": "50.00"}
        answer = self.client.patch(RELOAD, terms | {"payment_method_id": self.card_id})
        assert answer.status_code == 200, answer.json()
        return answer.json()

    @property
    def available(self):
        return balance_of(user_id=self.user.pk).available

    def reasons(self):
        return list(self.user.entries.order_by("seq").values_list("reason", "amount"))

    def reload(self):
        return Payment.objects.get(user=self.user, kind="auto_reload")

    def told(self):
        return list(Notice.objects.filter(user=self.user).order_by("pk").values_list("type", flat=True))


def confirm_in_the_browser(stripe_url, payment):
    asked = urlencode({"client_secret": payment.client_secret, "success": "true"}).encode()
    path = f"{stripe_url}/v1/payment_intents/{payment.provider_payment_id}/_authenticate"
    with urlopen(Request(path, asked, {"Authorization": f"Bearer {KEY}"}), timeout=10) as answer:
        json.load(answer)


def test_every_payment_is_credited_once_and_agrees_with_stripes_books(api, stripe_url):
    price("search", 150)
    alice = Customer(api, "alice@example.com")
    bob = Customer(api, "bob@example.com", DECLINED)
    charlie = Customer(api, "charlie@example.com", CONFIRMED)
    assert [each.available for each in (alice, bob, charlie)] == [1000, 1000, 1000]

    for customer in (alice, bob, charlie):
        charge(customer.user)
    ran, again = run("run_auto_reload", "--json"), run("run_auto_reload", "--json")

    assert (ran.code, again.code) == (0, 0), ran.err
    assert alice.reasons() == [("purchase", 1000), ("usage", -150), ("auto_reload", 1000)]
    assert alice.client.get(RELOAD).json()["spent_this_month"] == 10
    assert bob.reload().state == PaymentState.FAILED
    assert bob.client.get(RELOAD).json()["declines_in_a_row"] == 1
    assert charlie.reload().state == PaymentState.REQUIRES_ACTION
    assert "auto_reload.failed" in bob.told()
    assert "auto_reload.requires_action" in charlie.told()

    confirm_in_the_browser(stripe_url, charlie.reload())
    assert wait_for_webhook(charlie.reload())
    assert (charlie.available, bob.available) == (1850, 850)

    api.refunds.create({"payment_intent": alice.payment.provider_payment_id})
    news = refunded(alice.payment.amount_minor, payment_intent=alice.payment.provider_payment_id)
    assert [send(news, secret=SECRET).status_code for _ in range(3)] == [200, 200, 200]
    assert alice.reasons()[3:] == [("chargeback", -1000)]

    assert run("settle_payments", "--json").code == 0
    proven = run("reconcile", "--json")
    assert proven.json["findings"] == []
    assert proven.err == ""
    assert proven.json["checked"]["payments_at_provider"] == 6
