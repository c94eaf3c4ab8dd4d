"""A second provider is two files and a line in the registry: a purchase and its webhooks from end to end."""

from __future__ import annotations

import datetime as dt
import json
import runpy
import subprocess
import sys
from importlib import import_module
from types import ModuleType

import pytest
from django.conf import settings as site
from django.test import Client
from django.urls import include, path
from django.utils import timezone

from ledger.models import Payment, PaymentMethod
from ledger.providers import fake
from ledger.providers.registry import PROVIDERS, Registered, provider_named, webhook_senders, webhooks_of
from ledger.services.payments.provider_checks import compare_with_provider
from ledger.services.payments.refunds import begin_refund, carry_out_refund
from tests.account import client_of
from tests.ledger.ducat_webhooks import sign
from tests.ledger.paying import package, purchases
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db
LINE = Registered("tests.ledger.ducat", ("DUCAT_KEY",), "tests.ledger.ducat_webhooks", ("DUCAT_SECRET",))
SECRET = "ducat's secret"


@pytest.fixture(autouse=True)
def _ducat(monkeypatch, settings):
    """Register Ducat, choose it, and load the URL configuration again."""
    import_module(site.ROOT_URLCONF)  # before Ducat is there, so that no later test has its webhooks
    monkeypatch.setitem(PROVIDERS, "ducat", LINE)
    settings.PAYMENT_PROVIDER, settings.DUCAT_KEY, settings.DUCAT_SECRET = "ducat", "key", SECRET
    urls = ModuleType("ducat_urls")
    ledgers = runpy.run_path(str(site.BASE_DIR / "ledger" / "urls.py"))["urlpatterns"]
    urls.urlpatterns = [path("", include(ledgers)), path("", include("config.urls"))]
    monkeypatch.setitem(sys.modules, urls.__name__, urls)
    settings.ROOT_URLCONF = urls.__name__


@pytest.fixture
def payment(bob) -> Payment:
    """Begin a purchase by Bob, on the provider's page."""
    package()
    answer = client_of(bob).post("/auth/account/top-ups", {"package": "small"}, HTTP_IDEMPOTENCY_KEY="one")
    assert answer.status_code == 201, answer.json()
    return Payment.objects.get(pk=answer.json()["id"])


def send(*notices, shop="ours", secret=SECRET):
    body = json.dumps({"number": 7, "shop": shop, "notices": notices}).encode()
    at = timezone.now().isoformat()
    headers = {"Ducat-Signature": f"{at} {sign(body, secret, at=at)}"}
    return Client().post("/webhooks/ducat", body, content_type="application/json", headers=headers)


def paid(payment):
    return {
        "kind": "paid",
        "order": str(payment.provider_key),
        "id": "ducat_payment_1",
        "minor": payment.amount_minor,
        "currency": payment.currency,
        "customer": payment.provider_customer_id,
        "card": f"{fake.APPROVE}:bob",
    }


def given_back(payment, minor):
    return {"kind": "given back", "order": str(payment.provider_key), "minor": minor, "currency": payment.currency}


def test_a_top_up_goes_to_the_chosen_provider(payment, bob):
    assert (payment.provider, payment.state) == ("ducat", "requires_action")
    assert payment.provider_customer_id == f"ducat_customer_{bob.pk}"
    assert payment.action_url == f"https://ducat.example/ducat_page_{payment.provider_key}"
    assert purchases(bob) == []


def test_its_webhook_credits_once_and_saves_the_card(payment, bob):
    for _ in range(2):
        answer = send(paid(payment))
        assert (answer.status_code, answer.json()) == (200, {"received": True, "applied": True})

    payment.refresh_from_db()
    card = PaymentMethod.objects.get(user=bob)
    assert (payment.state, payment.provider_payment_id) == ("succeeded", "ducat_payment_1")
    assert (card.provider, card.provider_method_id) == ("ducat", f"{fake.APPROVE}:bob")
    assert purchases(bob) == [1000]
    assert reconcile(Scope())[1] == []


def test_all_events_of_one_message_are_applied(payment, bob):
    stranger = paid(payment) | {"order": "00000000-0000-0000-0000-000000000001"}

    answer = send(
        {"kind": "read", "order": str(payment.provider_key)}, paid(payment), given_back(payment, 625), stranger
    )

    assert answer.json()["applied"] is True
    assert purchases(bob) == [1000, -500]


def test_a_refund_by_staff_and_its_message_take_the_credits_once(payment, bob, clerk):
    send(paid(payment))
    begun = begin_refund(
        user_id=bob.pk, payment_id=payment.pk, amount_minor=625, note="Asked", actor_id=clerk.pk,
        idempotency_key="form-1", now=timezone.now(),
    )  # fmt: skip
    send(given_back(payment, 250))  # on its own website, before
    provider_named("ducat").given_back[payment.provider_key] += 250

    refund = carry_out_refund(refund_id=begun.refund.pk, now=timezone.now())
    for _ in range(2):
        send(given_back(payment, 875))

    payment.refresh_from_db()
    assert (refund.state, payment.refunded_minor) == ("made", 875)
    assert purchases(bob) == [1000, -200, -500]
    assert reconcile(Scope())[1] == []
    assert compare_with_provider("ducat", Scope(), now=timezone.now() + dt.timedelta(minutes=5)).findings == []


@pytest.mark.parametrize("notices", [[], [{"kind": "read", "order": "00000000-0000-0000-0000-000000000001"}]])
def test_a_message_without_news_is_accepted_and_changes_nothing(notices):
    answer = send(*notices)

    assert (answer.status_code, answer.json()["applied"]) == (200, False)


def test_an_unknown_notice_is_refused_so_that_it_is_sent_again(payment):
    answer = send(paid(payment) | {"kind": "odd"})

    assert (answer.status_code, answer.json()["code"]) == (400, "webhook_not_understood")


def test_an_unsigned_message_is_refused(payment, bob):
    answer = send(paid(payment), secret="another")

    assert (answer.status_code, answer.json()["code"]) == (401, "signature_invalid")
    assert answer.headers["WWW-Authenticate"] == "Ducat-Signature"
    assert purchases(bob) == []


def test_a_message_of_another_account_is_ignored(payment, bob, caplog):
    answer = send(paid(payment), shop="theirs")

    assert (answer.status_code, answer.json()["applied"]) == (200, False)
    assert "Webhook 7 is not believed: it is of shop theirs" in caplog.text
    assert purchases(bob) == []


def test_each_provider_builds_both_classes_from_existing_settings(settings):
    settings.STRIPE_SECRET_KEY = "sk_test_1"

    assert {name: provider_named(name).name for name in PROVIDERS} == {name: name for name in PROVIDERS}
    assert {name: webhooks_of(name).name for name in webhook_senders()} == {"stripe": "stripe", "ducat": "ducat"}
    needs = {need for registered in PROVIDERS.values() for need in registered.needs + registered.webhooks_need}
    assert [need for need in needs if not hasattr(site, need)] == []


_VERIFY = """
import datetime as dt, sys, django
django.setup()
from ledger.errors import WebhookSignatureInvalid
from ledger.providers.registry import webhooks_of
import config.urls
try:
    webhooks_of("stripe").verify_webhook({}, b"{}", now=dt.datetime.now(dt.UTC))
except WebhookSignatureInvalid:
    print("stripe" in sys.modules)
"""


def test_a_signature_is_checked_without_the_client_of_stripe():
    ran = subprocess.run([sys.executable, "-c", _VERIFY], cwd=site.BASE_DIR, capture_output=True, text=True, check=True)

    assert ran.stdout == "False\n"
