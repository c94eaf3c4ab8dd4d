"""Stripe: PaymentIntents on saved cards, Checkout for the first purchase, SetupIntents to save a card.

Shapes: https://docs.stripe.com/api (the version that the pinned client speaks).
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import requests
import stripe
from django.conf import settings

from config.values.request_ids import is_in_request
from ledger.models import PaymentState
from ledger.providers.base import (
    Answer,
    Card,
    CardSaving,
    DisputeStatement,
    NoAnswer,
    Order,
    Refunded,
    Refused,
    ShapeNotUnderstood,
    Statement,
)
from ledger.providers.stripe_events import statement_of_dispute
from ledger.providers.stripe_shapes import (
    AUTHENTICATION_REQUIRED,
    ORDER_KEY,
    REFUND_KEY,
    answer_of_checkout,
    answer_of_intent,
    answer_of_refund,
    field,
    statement_of_intent,
)
from ledger.providers.turns import seconds_left, turn

TIMEOUT_SECONDS = 20  # outside of requests; within one: what is left of its turn, and no retries
NETWORK_RETRIES = 2  # the client's own, under the same idempotency key
_MOST_LOOKED_THROUGH = 1_000

logger = logging.getLogger(__name__)


class _WithinTurn(requests.Session):
    """Waits no longer than the turn of the request lasts (ledger/providers/turns.py)."""

    def request(self, method: Any, url: Any, *args: Any, **options: Any) -> requests.Response:
        left = seconds_left()
        if left <= 0:
            raise requests.Timeout("This request has been with the provider for as long as it may.")
        return super().request(method, url, *args, **{**options, "timeout": left})


def _client(secret_key: str, api_url: str, http: stripe.RequestsClient, *, retries: int) -> stripe.StripeClient:
    addresses: Any = {"api": api_url} if api_url else None
    return stripe.StripeClient(secret_key, base_addresses=addresses, max_network_retries=retries, http_client=http)


class StripeProvider:
    """Stripe by its official client."""

    name = "stripe"

    def __init__(self, secret_key: str, *, return_url: str = "", api_url: str = "") -> None:
        self.return_url = return_url
        at_leisure = stripe.RequestsClient(timeout=TIMEOUT_SECONDS)
        within_turn = stripe.RequestsClient(session=_WithinTurn())
        self._at_leisure = _client(secret_key, api_url, at_leisure, retries=NETWORK_RETRIES)
        self._within_turn = _client(secret_key, api_url, within_turn, retries=0)

    @property
    def client(self) -> stripe.StripeClient:
        """Return the client to use: within a request, the one that does not retry and waits only for its turn."""
        return self._within_turn if is_in_request() else self._at_leisure

    def create_customer(self, *, user_id: int, email: str, key: uuid.UUID) -> str:
        params: Any = {"metadata": {"tollbook_user": str(user_id)}}
        if email:
            params["email"] = email
        with _translated_errors():
            return str(self.client.v1.customers.create(params, _once(f"customer-{key}")).id)

    def charge(self, order: Order) -> Answer:
        params: Any = {
            "amount": order.amount_minor,
            "currency": order.currency.lower(),
            "customer": order.customer_id,
            "payment_method": order.method_id,
            "payment_method_types": ["card"],
            "confirm": True,
            "metadata": {ORDER_KEY: str(order.key)},
        }
        if order.is_customer_away:
            params["off_session"] = True
        if self.return_url:
            params["return_url"] = self.return_url
        with _translated_errors():
            try:
                intent: Any = self.client.v1.payment_intents.create(params, _once(str(order.key)))
            except stripe.CardError as declined:
                if declined.code == AUTHENTICATION_REQUIRED and declined.error is not None:
                    return self._for_the_customer(order, declined.error.payment_intent)
                return _declined(order, declined)
            return answer_of_intent(intent)

    def _for_the_customer(self, order: Order, intent: Any) -> Answer:
        """Confirm the same PaymentIntent on session: the bank requires the customer to authenticate."""
        params: Any = {"payment_method": order.method_id}
        if self.return_url:
            params["return_url"] = self.return_url
        try:
            confirmed = self.client.v1.payment_intents.confirm(str(intent.id), params, _once(f"{order.key}-confirm"))
        except stripe.StripeError:  # the customer can still confirm by the client secret
            logger.warning("A payment that its customer is to confirm has no page for that.", exc_info=True)
            confirmed = intent
        return answer_of_intent(confirmed)

    def start_checkout(self, order: Order) -> Answer:
        metadata = {ORDER_KEY: str(order.key)}
        line = {
            "quantity": 1,
            "price_data": {
                "currency": order.currency.lower(),
                "unit_amount": order.amount_minor,
                "product_data": {"name": order.description},
            },
        }
        params: Any = {
            "mode": "payment",
            "customer": order.customer_id,
            "client_reference_id": str(order.key),
            "line_items": [line],
            "metadata": metadata,
            "payment_intent_data": {"metadata": metadata, "setup_future_usage": "off_session"},
            "payment_method_types": ["card"],
            "success_url": self.return_url,
            "cancel_url": self.return_url,
        }
        with _translated_errors():
            return answer_of_checkout(self.client.v1.checkout.sessions.create(params, _once(str(order.key))))

    def look_up(self, order: Order) -> Answer | None:
        with _translated_errors():
            if order.method_id is None:
                session = self._checkout(order)
                return None if session is None else answer_of_checkout(session)
            intent = self._intent(order)
            return None if intent is None else answer_of_intent(intent)

    def cancel(self, order: Order) -> Answer:
        try:
            with _translated_errors():
                if order.method_id is None and order.checkout_id is not None:
                    return answer_of_checkout(self.client.v1.checkout.sessions.expire(order.checkout_id))
                if order.provider_payment_id is not None:
                    return answer_of_intent(self.client.v1.payment_intents.cancel(order.provider_payment_id))
        except Refused:  # it has ended meanwhile
            pass
        return self.look_up(order) or Answer(PaymentState.EXPIRED)

    def refund(self, order: Order, *, key: uuid.UUID, amount_minor: int) -> Refunded:
        params: Any = {
            "payment_intent": order.provider_payment_id,
            "amount": amount_minor,
            "metadata": {ORDER_KEY: str(order.key), REFUND_KEY: str(key)},
            "expand": ["charge"],
        }
        with _translated_errors():
            return answer_of_refund(self.client.v1.refunds.create(params, _once(f"refund-{key}")))

    def look_up_refund(self, order: Order, *, key: uuid.UUID) -> Refunded | None:
        """Find a refund of the payment by its metadata: Stripe forgets idempotency keys after a day."""
        params: Any = {"payment_intent": order.provider_payment_id, "limit": 100, "expand": ["data.charge"]}
        with _translated_errors():
            for refund in self.client.v1.refunds.list(params).auto_paging_iter():
                if field(refund, "metadata", REFUND_KEY) == str(key):
                    return answer_of_refund(refund)
        return None

    def statements(self, orders: Iterable[Order], *, since: dt.datetime) -> Iterator[Statement]:  # noqa: ARG002
        """Read Stripe's list, the newest first, back to `since`."""
        params: Any = {"limit": 100, "expand": ["data.latest_charge"]}
        with _translated_errors():
            for intent in self.client.v1.payment_intents.list(params).auto_paging_iter():
                if intent.created < since.timestamp():
                    break
                statement = statement_of_intent(intent)
                if statement is not None:
                    yield statement

    def disputes(self, *, since: dt.datetime) -> Iterator[DisputeStatement] | None:
        """Read Stripe's list of disputes, without inquiries; None if the API in use has no such list (404)."""
        params: Any = {"limit": 100, "created": {"gte": int(since.timestamp())}}
        with _translated_errors():
            try:
                page = self.client.v1.disputes.list(params)
            except stripe.StripeError as error:
                if error.http_status == 404:
                    return None
                raise
        return _disputes_of(page)

    def start_saving_card(self, *, customer_id: str, key: uuid.UUID) -> CardSaving:
        params: Any = {"customer": customer_id, "payment_method_types": ["card"], "usage": "off_session"}
        with _translated_errors():
            saving = self.client.v1.setup_intents.create(params, _once(f"setup-{key}"))
            return CardSaving(str(saving.id), str(saving.client_secret))

    def card(self, method_id: str) -> Card:
        with _translated_errors():
            method: Any = self.client.v1.payment_methods.retrieve(method_id)
            return Card(
                method_id=str(method.id),
                customer_id=field(method, "customer"),
                brand=str(field(method, "card", "brand") or "card"),
                last4=str(field(method, "card", "last4") or ""),
                expiry_month=int(field(method, "card", "exp_month") or 12),
                expiry_year=int(field(method, "card", "exp_year") or 0),
                fingerprint=field(method, "card", "fingerprint"),
            )

    def forget_card(self, method_id: str) -> None:
        with _translated_errors():
            self.client.v1.payment_methods.detach(method_id)

    def _intent(self, order: Order) -> Any:
        intents = self.client.v1.payment_intents
        if order.provider_payment_id is not None:
            return intents.retrieve(order.provider_payment_id)
        return _ours(order, intents.list({"customer": order.customer_id, "limit": 100}))

    def _checkout(self, order: Order) -> Any:
        sessions = self.client.v1.checkout.sessions
        expand: Any = {"expand": ["payment_intent"]}
        if order.checkout_id is not None:
            return sessions.retrieve(order.checkout_id, expand)
        return _ours(order, sessions.list({"customer": order.customer_id, "limit": 100}))


def from_settings() -> StripeProvider:
    """Return the provider for this site's key, made once in each process."""
    return _made(settings.STRIPE_SECRET_KEY, settings.TOP_UP_URL, settings.STRIPE_API_URL)


@cache
def _made(secret_key: str, return_url: str, api_url: str) -> StripeProvider:
    return StripeProvider(secret_key, return_url=return_url, api_url=api_url)


def _disputes_of(page: Any) -> Iterator[DisputeStatement]:
    with _translated_errors():
        for dispute in page.auto_paging_iter():
            statement = statement_of_dispute(dispute)
            if statement is not None:
                yield statement


def _once(key: str) -> Any:
    return {"idempotency_key": key}


def _ours(order: Order, listed: Any) -> Any:
    """Find our order among the customer's latest, by the key in its metadata."""
    for count, one in enumerate(listed.auto_paging_iter()):
        if field(one, "metadata", ORDER_KEY) == str(order.key):
            return one
        if count == _MOST_LOOKED_THROUGH:
            break
    return None


def _declined(order: Order, declined: stripe.CardError) -> Answer:
    """Read a decline as an answer; its error contains the PaymentIntent."""
    intent = declined.error.payment_intent if declined.error is not None else None
    return Answer(
        PaymentState.FAILED,
        customer_id=order.customer_id,
        provider_payment_id=None if intent is None else str(intent.id),
        failure_code=str(getattr(declined.error, "decline_code", None) or declined.code or "card_declined"),
        failure_message=declined.user_message or "Your card was declined.",
    )


@contextmanager
def _translated_errors() -> Iterator[None]:
    """Turn the client's errors into Refused or NoAnswer.

    A request is here within its turn; one that has no turn takes one now.
    """
    try:
        with turn():
            yield
    except (stripe.APIConnectionError, stripe.RateLimitError) as error:
        raise NoAnswer(str(error)) from error
    except (stripe.InvalidRequestError, stripe.CardError) as error:
        raise Refused(error.code or "provider_refused", error.user_message or str(error)) from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        raise Refused("provider_refused", "The payment provider does not accept this site's key.") from error
    except stripe.StripeError as error:
        raise NoAnswer(str(error)) from error
    except ShapeNotUnderstood as error:
        logger.exception("An answer of Stripe's is not understood.")
        raise NoAnswer(str(error)) from error
