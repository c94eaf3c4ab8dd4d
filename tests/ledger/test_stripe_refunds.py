"""Stripe's refunds, by recorded shapes: one for each key, and their state and total read."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import pytest

from ledger.providers import stripe as ours
from ledger.providers.base import NoAnswer, Order, Refused
from ledger.providers.stripe import StripeProvider
from tests.ledger.stripes import KEY, Recorded

ORDER = Order(uuid.UUID(int=7), 1250, "USD", "Small", "cus_1", "pm_1", provider_payment_id="pi_1")
REFUND_KEY = uuid.UUID(int=9)
REFUND = {
    "id": "re_1",
    "object": "refund",
    "amount": 500,
    "currency": "usd",
    "status": "succeeded",
    "payment_intent": "pi_1",
    "charge": {"id": "ch_1", "object": "charge", "amount_refunded": 750},
    "metadata": {"tollbook_payment": str(ORDER.key), "tollbook_refund": str(REFUND_KEY)},
}


def listed(*refunds):
    return {"object": "list", "url": "/v1/refunds", "has_more": False, "data": list(refunds)}


@pytest.fixture
def asked(monkeypatch) -> Iterator[object]:
    """Return a function that sets Stripe's responses and returns the provider and the recorded requests."""
    monkeypatch.setattr(ours, "NETWORK_RETRIES", 0)
    with ExitStack() as servers:

        def ask(*answers):
            server = servers.enter_context(Recorded(*answers))
            return StripeProvider(KEY, api_url=server.url), server.calls

        yield ask


def refund(provider):
    return provider.refund(ORDER, key=REFUND_KEY, amount_minor=500)


def test_a_refund_is_sent_with_our_own_key_and_names_our_payment(asked):
    provider, calls = asked((200, REFUND))

    answer = refund(provider)

    (call,) = calls
    assert (call["path"], call["key"]) == ("/v1/refunds", f"refund-{REFUND_KEY}")
    assert (call["form"]["payment_intent"], call["form"]["amount"]) == ("pi_1", "500")
    assert call["form"]["metadata[tollbook_payment]"] == str(ORDER.key)
    assert call["form"]["metadata[tollbook_refund]"] == str(REFUND_KEY)
    assert (answer.provider_refund_id, answer.amount_minor, answer.currency) == ("re_1", 500, "USD")
    assert (answer.has_failed, answer.refunded_minor) == (False, 750)


@pytest.mark.parametrize(
    ("status", "has_failed"),
    [("pending", False), ("requires_action", False), ("succeeded", False), ("failed", True), ("canceled", True)],
)
def test_the_state_of_a_refund_says_whether_it_failed(asked, status, has_failed):
    provider, _ = asked((200, REFUND | {"status": status, "charge": "ch_1"}))

    answer = refund(provider)

    assert (answer.has_failed, answer.refunded_minor) == (has_failed, None)


@pytest.mark.parametrize("answer", [None, (500, {}), (429, {"error": {"message": "slow"}}), (502, "x")])
def test_an_unknown_outcome_of_a_refund_raises_no_answer(asked, answer):
    provider, _ = asked(answer, answer)

    with pytest.raises(NoAnswer):
        refund(provider)
    with pytest.raises(NoAnswer):
        provider.look_up_refund(ORDER, key=REFUND_KEY)


def test_a_refund_of_a_form_that_is_not_understood_raises_no_answer_and_is_logged(asked, caplog):
    provider, _ = asked((200, REFUND | {"status": "odd"}))

    with pytest.raises(NoAnswer):
        refund(provider)
    assert "not understood" in caplog.text


def test_a_refund_that_stripe_refuses_raises_refused_with_its_words(asked):
    said = {"type": "invalid_request_error", "code": "charge_already_refunded", "message": "Already refunded."}
    provider, _ = asked((400, {"error": said}))

    with pytest.raises(Refused, match=r"Already refunded\.") as refusal:
        refund(provider)
    assert refusal.value.code == "charge_already_refunded"


def test_a_refund_is_found_among_those_of_its_payment_by_our_key(asked):
    other = REFUND | {"id": "re_0", "metadata": {"tollbook_refund": str(uuid.UUID(int=8))}}
    provider, calls = asked((200, listed(other, REFUND)), (200, listed(other)))

    found = provider.look_up_refund(ORDER, key=REFUND_KEY)
    missing = provider.look_up_refund(replace(ORDER, provider_payment_id="pi_2"), key=REFUND_KEY)

    assert calls[0]["path"].startswith("/v1/refunds?")
    assert "payment_intent=pi_1" in calls[0]["path"]
    assert (found.provider_refund_id, found.refunded_minor, missing) == ("re_1", 750, None)
