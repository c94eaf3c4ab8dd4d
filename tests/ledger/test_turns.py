"""Turns with a provider: few requests at once, for a few seconds, and nothing half-done for the refused ones."""

from __future__ import annotations

import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.db import connection
from django.utils import timezone

from config.values.request_ids import current_request_id
from ledger import errors
from ledger.models import Payment
from ledger.providers import fake as cards
from ledger.providers import turns
from ledger.providers.base import NoAnswer
from ledger.providers.stripe import StripeProvider
from ledger.providers.turns import turn
from tests.account import client_of
from tests.backoffice import new_form, signed_in, staff_with
from tests.factories import customer_with
from tests.ledger.paying import LATER, card, package
from tests.ledger.silent import Silent
from tests.ledger.stripes import KEY, Recorded
from tests.ledger.test_stripe_provider import ORDER

METHODS, TOP_UPS = "/auth/account/payment-methods", "/auth/account/top-ups"


@pytest.fixture
def in_request():
    token = current_request_id.set("one")
    yield
    current_request_id.reset(token)


def test_turns_are_refused_beyond_their_number_and_given_back_after_a_failure(settings, in_request):
    settings.PROVIDER_CALLS_AT_ONCE = 1
    elsewhere = ThreadPoolExecutor(1)

    def another():
        current_request_id.set("another")
        with turn():
            return "taken"

    def fail_within_a_turn():
        with turn(), turn():  # a turn within a turn is the same turn
            with pytest.raises(errors.PaymentProviderBusy):
                elsewhere.submit(another).result()
            raise LookupError

    with pytest.raises(LookupError):
        fail_within_a_turn()

    assert elsewhere.submit(another).result() == "taken"


def test_commands_need_no_turn(settings):
    settings.PROVIDER_CALLS_AT_ONCE = 0

    with turn():
        assert turns.seconds_left() == turns.TURN_SECONDS


def test_a_call_of_a_request_waits_five_seconds_at_most_and_is_not_tried_again(in_request, monkeypatch):
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.3)
    with Silent() as stripe:
        provider = StripeProvider(KEY, api_url=stripe.url)
        began = time.monotonic()
        with pytest.raises(NoAnswer):
            provider.charge(ORDER)
        waited, connections = time.monotonic() - began, stripe.connections

    assert connections == 1
    assert 0.3 <= waited < 1


def test_all_calls_of_a_turn_share_its_time(in_request, monkeypatch):
    monkeypatch.setattr(turns, "TURN_SECONDS", 0.05)
    with Recorded() as stripe:
        provider = StripeProvider(KEY, api_url=stripe.url)
        with turn():
            time.sleep(0.06)
            with pytest.raises(NoAnswer):
                provider.card("pm_1")

        assert stripe.calls == []


def test_a_request_tries_once_and_a_command_again_under_the_same_key(monkeypatch):
    done = (200, {"id": "cus_1", "object": "customer"})
    with Recorded(None, None, done) as stripe:
        provider = StripeProvider(KEY, api_url=stripe.url)
        token = current_request_id.set("one")
        with pytest.raises(NoAnswer):
            provider.start_saving_card(customer_id="cus_1", key=ORDER.key)
        current_request_id.reset(token)
        calls_of_request = len(stripe.calls)
        provider.create_customer(user_id=1, email="a@example.com", key=ORDER.key)

    assert calls_of_request == 1
    assert len({call["key"] for call in stripe.calls[1:]}) == 1
    assert len(stripe.calls) == 3


@pytest.mark.django_db(transaction=True)
class TestWithASilentStripe:
    @pytest.fixture(autouse=True)
    def stripe(self, settings, monkeypatch):
        monkeypatch.setattr(turns, "TURN_SECONDS", 1.0)
        with Silent() as silent:
            settings.PAYMENT_PROVIDER, settings.STRIPE_SECRET_KEY = "stripe", KEY
            settings.STRIPE_API_URL = silent.url
            yield silent

    def test_every_endpoint_returns_503_beyond_the_turns_and_writes_nothing(self, stripe, alice):
        paying, saved = customer_with(1), card(alice, cards.APPROVE)
        saved.provider = "stripe"
        saved.save()
        unsettled = bought_at_stripe(alice)
        client, sells = client_of(alice), package()
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(answer_of, paying)
            stripe.wait_for(1)
            began = time.monotonic()
            refused = [
                client.post(METHODS),
                client.post(TOP_UPS, {"package": sells.code}, HTTP_IDEMPOTENCY_KEY="a"),
                client.post(TOP_UPS, {"package": sells.code, "payment_method_id": saved.pk}, HTTP_IDEMPOTENCY_KEY="b"),
            ]
            removed = client.delete(f"{METHODS}/{saved.pk}")
            waited = time.monotonic() - began

        assert [(one.status_code, one.json()["code"]) for one in refused] == [(503, "payment_provider_busy")] * 3
        assert all(int(one.headers["Retry-After"]) > 0 for one in refused)
        assert removed.status_code == 204  # it is charged no more here, whatever the provider does
        assert waited < 0.9
        assert list(Payment.objects.all()) == [unsettled]
        assert slow.result() == (503, "payment_provider_away")
        assert stripe.connections == 1

    def test_staff_who_ask_about_a_payment_are_asked_to_try_again(self, stripe, alice):
        payment, staff = bought_at_stripe(alice), signed_in(staff_with("ledger.settle_payment", "ledger.view_payment"))
        with ThreadPoolExecutor(1) as pool:
            slow = pool.submit(answer_of, alice)
            stripe.wait_for(1)
            page = staff.post(f"/admin/ledger/payment/{payment.pk}/settle/", new_form(), follow=True)
            slow.result()

        assert "please try again" in page.content.decode()


def bought_at_stripe(user):
    """Create a payment that was begun a while ago and whose outcome is unknown."""
    then = timezone.now() - LATER
    return Payment.objects.create(
        user=user, package=package(), credits=1000, amount_minor=1250, currency="USD", provider="stripe",
        provider_key=uuid.uuid4(), provider_customer_id=f"cus_{user.pk}", idempotency_key="begun", fingerprint=b"",
        created_at=then, asked_at=then, expires_at=then + LATER * 100,
    )  # fmt: skip


def answer_of(user):
    try:
        answer = client_of(user).post(METHODS)
        return answer.status_code, answer.json()["code"]
    finally:
        connection.close()
