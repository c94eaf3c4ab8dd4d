"""What every provider must do: one suite for all of them, with Stripe's run against localstripe."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

import pytest

from ledger.models import PaymentState
from ledger.providers import fake
from ledger.providers.base import Order, Provider, Refused
from ledger.providers.stripe import StripeProvider
from tests.ledger.stripes import KEY, localstripe

APPROVE, DECLINE, AUTHENTICATE = "approve", "decline", "authenticate"
NUMBERS = {APPROVE: "4242424242424242", DECLINE: "4000000000000341", AUTHENTICATE: "4000002500003155"}


@dataclass
class Stage:
    """A provider, a customer of it, and that customer's cards."""

    provider: Provider
    customer_id: str
    cards: dict[str, str]

    def order(self, card: str | None = APPROVE) -> Order:
        method_id = None if card is None else self.cards[card]
        return Order(uuid.uuid4(), 1250, "USD", "Small", self.customer_id, method_id)


def fake_stage() -> Stage:
    provider = fake.FakeProvider(page_url="http://127.0.0.1/")
    cards = {APPROVE: fake.APPROVE, DECLINE: fake.DECLINE, AUTHENTICATE: fake.AUTHENTICATE}
    return Stage(provider, _customer(provider), cards)


def stripe_stage(url: str) -> Stage:
    provider = StripeProvider(KEY, api_url=url)
    customer_id = _customer(provider)
    return Stage(
        provider, customer_id, {name: _card(provider, customer_id, number) for name, number in NUMBERS.items()}
    )


def _customer(provider: Provider) -> str:
    return provider.create_customer(user_id=1, email="bob@example.com", key=uuid.uuid4())


def _card(provider: StripeProvider, customer_id: str, number: str) -> str:
    """Save a card as Stripe's own script would in the customer's browser."""
    methods = provider.client.v1.payment_methods
    card = {"number": number, "exp_month": 12, "exp_year": 2040, "cvc": "123"}
    return methods.attach(methods.create({"type": "card", "card": card}).id, {"customer": customer_id}).id


@pytest.fixture(scope="module", params=["fake", "stripe"])
def stage(request: pytest.FixtureRequest) -> Iterator[Stage]:
    if request.param == "fake":
        yield fake_stage()
        return
    with localstripe() as url:
        yield stripe_stage(url)


def test_a_good_card_is_charged_for_what_was_ordered(stage):
    order = stage.order()

    answer = stage.provider.charge(order)

    assert answer.state == PaymentState.SUCCEEDED
    assert (answer.amount_minor, answer.currency) == (order.amount_minor, order.currency)
    assert (answer.customer_id, answer.method_id) == (order.customer_id, order.method_id)
    assert answer.provider_payment_id
    assert (answer.failure_code, answer.action_url, answer.client_secret) == (None, None, None)


def test_a_declined_card_returns_an_answer_with_its_reason(stage):
    answer = stage.provider.charge(stage.order(DECLINE))

    assert (answer.state, answer.failure_code) == (PaymentState.FAILED, "card_declined")
    assert answer.failure_message


def test_a_card_that_requires_authentication_returns_an_action_url(stage):
    answer = stage.provider.charge(stage.order(AUTHENTICATE))

    assert answer.state == PaymentState.REQUIRES_ACTION
    assert answer.action_url or answer.client_secret


@pytest.mark.parametrize("card", [APPROVE, AUTHENTICATE])
def test_looking_up_returns_the_same_answer(stage, card):
    order = stage.order(card)
    answer = stage.provider.charge(order)

    again = stage.provider.look_up(replace(order, provider_payment_id=answer.provider_payment_id))

    assert again == answer


def test_an_unpaid_charge_can_be_cancelled_for_good(stage):
    order = stage.order(AUTHENTICATE)
    order = replace(order, provider_payment_id=stage.provider.charge(order).provider_payment_id)

    assert stage.provider.cancel(order).state == PaymentState.EXPIRED
    assert stage.provider.cancel(order).state == PaymentState.EXPIRED
    assert stage.provider.look_up(order).state == PaymentState.EXPIRED


def test_a_paid_charge_cannot_be_cancelled(stage):
    order = stage.order()
    order = replace(order, provider_payment_id=stage.provider.charge(order).provider_payment_id)

    assert stage.provider.cancel(order).state == PaymentState.SUCCEEDED


def test_an_unknown_card_is_refused(stage):
    order = replace(stage.order(), method_id="pm_nowhere")

    with pytest.raises(Refused):
        stage.provider.charge(order)
    with pytest.raises(Refused):
        stage.provider.card("pm_nowhere")


def test_a_saved_card_shows_its_last_digits_and_expiry(stage):
    card = stage.provider.card(stage.cards[APPROVE])

    assert (card.brand, card.last4, card.expiry_month, card.expiry_year) == ("visa", "4242", 12, 2040)


def test_saving_a_card_begins_with_a_secret(stage):
    saving = stage.provider.start_saving_card(customer_id=stage.customer_id, key=uuid.uuid4())

    assert saving.id
    assert saving.client_secret.startswith(saving.id)


def test_a_refund_is_found_by_its_key(stage):
    order = stage.order()
    order = replace(order, provider_payment_id=stage.provider.charge(order).provider_payment_id)
    key, later = uuid.uuid4(), uuid.uuid4()

    first = stage.provider.refund(order, key=key, amount_minor=250)

    assert (first.amount_minor, first.currency, first.has_failed) == (250, "USD", False)
    assert stage.provider.look_up_refund(order, key=key).provider_refund_id == first.provider_refund_id
    assert stage.provider.look_up_refund(order, key=later) is None
    assert stage.provider.refund(order, key=later, amount_minor=1000).provider_refund_id != first.provider_refund_id


def test_a_payment_that_is_not_there_cannot_be_refunded(stage):
    order = replace(stage.order(), provider_payment_id=None if stage.provider.name == "fake" else "pi_nowhere")

    with pytest.raises(Refused):
        stage.provider.refund(order, key=uuid.uuid4(), amount_minor=1)


def test_a_forgotten_card_may_be_forgotten_again(stage):
    stage.provider.forget_card(stage.cards[DECLINE])
    stage.provider.forget_card(stage.cards[DECLINE])
