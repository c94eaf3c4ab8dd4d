"""Stripe's requests and responses, by recorded shapes that localstripe does not know."""

from __future__ import annotations

import uuid
from dataclasses import replace

import pytest

from ledger.models import PaymentState
from ledger.providers import stripe as ours
from ledger.providers.base import NoAnswer, Order, Refused
from ledger.providers.stripe import StripeProvider
from tests.ledger.stripes import KEY, Recorded

ORDER = Order(uuid.UUID(int=7), 1250, "USD", "Small", "cus_1", "pm_1")
PAGE = replace(ORDER, method_id=None)
METADATA = {"tollbook_payment": str(ORDER.key)}
INTENT = {
    "id": "pi_1",
    "object": "payment_intent",
    "amount": 1250,
    "currency": "usd",
    "customer": "cus_1",
    "payment_method": "pm_1",
    "status": "succeeded",
    "client_secret": "pi_1_secret",
    "metadata": METADATA,
}
SESSION = {
    "id": "cs_1",
    "object": "checkout.session",
    "mode": "payment",
    "status": "open",
    "payment_status": "unpaid",
    "amount_total": 1250,
    "currency": "usd",
    "customer": "cus_1",
    "payment_intent": None,
    "url": "https://checkout.stripe.com/c/pay/cs_1",
    "metadata": METADATA,
}
DECLINED = {
    "error": {
        "type": "card_error",
        "code": "card_declined",
        "decline_code": "insufficient_funds",
        "message": "Your card has insufficient funds.",
        "payment_intent": INTENT | {"status": "requires_payment_method"},
    }
}


def listed(*things):
    return {"object": "list", "url": "/v1/things", "has_more": False, "data": list(things)}


@pytest.fixture
def asked(monkeypatch):
    """Return a function that sets Stripe's responses and returns the provider and the recorded requests."""
    monkeypatch.setattr(ours, "NETWORK_RETRIES", 0)
    servers = []

    def ask(*answers, retries=0):
        monkeypatch.setattr(ours, "NETWORK_RETRIES", retries)
        server = Recorded(*answers)
        servers.append(server.__enter__())
        return StripeProvider(KEY, return_url="https://site.example/", api_url=server.url), server.calls

    yield ask
    for server in servers:
        server.__exit__()


def test_a_charge_is_sent_with_our_own_key(asked):
    provider, calls = asked((200, INTENT))

    provider.charge(ORDER)

    (call,) = calls
    assert (call["path"], call["key"]) == ("/v1/payment_intents", str(ORDER.key))
    assert call["form"]["metadata[tollbook_payment]"] == str(ORDER.key)
    assert (call["form"]["amount"], call["form"]["currency"], call["form"]["confirm"]) == ("1250", "usd", "true")
    assert call["form"]["return_url"] == "https://site.example/"


def test_a_broken_connection_is_tried_again_under_the_same_key(asked):
    provider, calls = asked(None, (200, INTENT), retries=1)

    assert provider.charge(ORDER).state == PaymentState.SUCCEEDED
    assert [call["key"] for call in calls] == [str(ORDER.key)] * 2


@pytest.mark.parametrize("answer", [None, (500, {}), (429, {"error": {"message": "slow"}}), (502, "x")])
def test_an_unknown_outcome_raises_no_answer(asked, answer):
    provider, _ = asked(answer, answer)

    with pytest.raises(NoAnswer):
        provider.charge(ORDER)
    with pytest.raises(NoAnswer):
        provider.look_up(replace(ORDER, provider_payment_id="pi_1"))


@pytest.mark.parametrize("status", [400, 401, 403, 404])
def test_a_refusal_by_stripe_raises_refused(asked, status):
    provider, _ = asked((status, {"error": {"type": "invalid_request_error", "message": "no"}}))

    with pytest.raises(Refused):
        provider.charge(ORDER)


def test_a_decline_says_why_and_names_its_payment(asked):
    provider, _ = asked((402, DECLINED))

    answer = provider.charge(ORDER)

    assert (answer.state, answer.failure_code) == (PaymentState.FAILED, "insufficient_funds")
    assert answer.failure_message == "Your card has insufficient funds."
    assert answer.provider_payment_id == "pi_1"


AWAY = replace(ORDER, is_customer_away=True)
TO_CONFIRM = INTENT | {
    "status": "requires_payment_method",
    "last_payment_error": {"code": "authentication_required", "decline_code": "authentication_required"},
}
WANTED = {"error": {"type": "card_error", "code": "authentication_required", "payment_intent": TO_CONFIRM}}


def test_a_charge_without_the_customer_is_off_session(asked):
    provider, calls = asked((200, INTENT), (200, INTENT))

    provider.charge(AWAY)
    provider.charge(ORDER)

    assert [call["form"].get("off_session") for call in calls] == ["true", None]


def test_a_payment_that_requires_the_customer_is_confirmed_as_the_same_payment(asked):
    action = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.stripe.com/3d"}}
    provider, calls = asked((402, WANTED), (200, INTENT | {"status": "requires_action", "next_action": action}))

    answer = provider.charge(AWAY)

    assert (answer.state, answer.action_url) == (PaymentState.REQUIRES_ACTION, "https://hooks.stripe.com/3d")
    assert calls[1]["path"] == "/v1/payment_intents/pi_1/confirm"
    assert (calls[1]["form"]["payment_method"], "off_session" in calls[1]["form"]) == ("pm_1", False)


def test_a_payment_without_a_page_waits_for_confirmation_and_is_not_declined(asked):
    provider, _ = asked((402, WANTED), (500, {}), (200, TO_CONFIRM))

    answers = [provider.charge(AWAY), provider.look_up(replace(AWAY, provider_payment_id="pi_1"))]

    assert [answer.state for answer in answers] == [PaymentState.REQUIRES_ACTION] * 2
    assert [(answer.client_secret, answer.failure_code) for answer in answers] == [("pi_1_secret", None)] * 2


def test_authentication_by_redirect_has_an_address(asked):
    action = {"type": "redirect_to_url", "redirect_to_url": {"url": "https://hooks.stripe.com/3d"}}
    provider, _ = asked((200, INTENT | {"status": "requires_action", "next_action": action}))

    answer = provider.charge(ORDER)

    assert (answer.state, answer.action_url) == (PaymentState.REQUIRES_ACTION, "https://hooks.stripe.com/3d")
    assert answer.client_secret == "pi_1_secret"


@pytest.mark.parametrize(
    ("status", "state"),
    [
        ("processing", PaymentState.PENDING),
        ("requires_payment_method", PaymentState.FAILED),
        ("canceled", PaymentState.EXPIRED),
    ],
)
def test_an_intent_maps_to_the_state_of_its_payment(asked, status, state):
    provider, _ = asked((200, INTENT | {"status": status}))

    assert provider.look_up(replace(ORDER, provider_payment_id="pi_1")).state == state


def test_an_unknown_state_raises_no_answer_and_is_logged(asked, caplog):
    provider, _ = asked((200, INTENT | {"status": "odd"}))

    with pytest.raises(NoAnswer):
        provider.charge(ORDER)
    assert "not understood" in caplog.text


def test_a_checkout_names_the_price_saves_the_card_and_has_an_address(asked):
    provider, calls = asked((200, SESSION))

    answer = provider.start_checkout(PAGE)

    assert (answer.state, answer.checkout_id) == (PaymentState.REQUIRES_ACTION, "cs_1")
    assert answer.action_url == SESSION["url"]
    (call,) = calls
    assert (call["path"], call["key"]) == ("/v1/checkout/sessions", str(ORDER.key))
    form = call["form"]
    assert form["line_items[0][price_data][unit_amount]"] == "1250"
    assert form["payment_intent_data[setup_future_usage]"] == "off_session"
    assert form["payment_intent_data[metadata][tollbook_payment]"] == str(ORDER.key)


@pytest.mark.parametrize(
    ("status", "paid", "state"),
    [
        ("complete", "paid", PaymentState.SUCCEEDED),
        ("complete", "unpaid", PaymentState.PENDING),
        ("expired", "unpaid", PaymentState.EXPIRED),
    ],
)
def test_looking_up_a_checkout_returns_its_payment_and_card(asked, status, paid, state):
    provider, _ = asked((200, SESSION | {"status": status, "payment_status": paid, "payment_intent": INTENT}))

    answer = provider.look_up(replace(PAGE, checkout_id="cs_1"))

    assert (answer.state, answer.provider_payment_id, answer.method_id) == (state, "pi_1", "pm_1")


@pytest.mark.parametrize(("order", "thing"), [(ORDER, INTENT), (PAGE, SESSION)])
def test_a_request_without_an_answer_is_found_by_our_key_among_the_customers(asked, order, thing):
    other = thing | {"id": "other", "metadata": {"tollbook_payment": str(uuid.uuid4())}}
    provider, calls = asked((200, listed(other, thing)), (200, listed(other)))

    assert provider.look_up(order) is not None
    assert provider.look_up(order) is None
    assert "customer=cus_1" in calls[0]["path"]


def test_a_page_is_closed(asked):
    provider, calls = asked((200, SESSION | {"status": "expired"}))

    assert provider.cancel(replace(PAGE, checkout_id="cs_1")).state == PaymentState.EXPIRED
    assert calls[0]["path"] == "/v1/checkout/sessions/cs_1/expire"


def test_a_page_that_was_paid_meanwhile_is_not_closed(asked):
    refusal = (400, {"error": {"type": "invalid_request_error", "message": "complete"}})
    provider, _ = asked(refusal, (200, SESSION | {"status": "complete", "payment_status": "paid"}))

    assert provider.cancel(replace(PAGE, checkout_id="cs_1")).state == PaymentState.SUCCEEDED
