"""What Stripe's objects say, whether they came as an answer or in a webhook."""

from __future__ import annotations

import uuid
from typing import Any

from ledger.models import PaymentState
from ledger.providers.base import Answer, ShapeNotUnderstood, Statement

ORDER_KEY = "tollbook_payment"
"""The name, in Stripe's metadata, of our own name for the payment."""

AUTHENTICATION_REQUIRED = "authentication_required"
"""The error of a payment which its customer has to confirm: no card was declined."""

_STATE_OF_INTENT = {
    "succeeded": PaymentState.SUCCEEDED,
    "processing": PaymentState.PENDING,
    "requires_capture": PaymentState.PENDING,
    "requires_action": PaymentState.REQUIRES_ACTION,
    "requires_confirmation": PaymentState.REQUIRES_ACTION,
    "requires_payment_method": PaymentState.FAILED,
    "canceled": PaymentState.EXPIRED,
}


def field(thing: Any, *path: str) -> Any:
    """Follow a path into an object of Stripe's; None where it ends early."""
    for name in path:
        try:
            thing = thing[name]
        except (KeyError, TypeError, IndexError):
            return None
    return thing


def id_of(thing: Any) -> str | None:
    """Give the id of what may be an id already, or the whole object."""
    if thing is None or isinstance(thing, str):
        return thing
    return str(field(thing, "id"))


def answer_of_intent(intent: Any) -> Answer:
    """Read a PaymentIntent.

    :raises ShapeNotUnderstood: if it is in a state that we do not know
    """
    state = _STATE_OF_INTENT.get(str(field(intent, "status")))
    if state is None or field(intent, "id") is None:
        raise ShapeNotUnderstood(f"A payment_intent in the state {field(intent, 'status')!r} is unknown.")
    error = field(intent, "last_payment_error")
    if state == PaymentState.FAILED and field(error, "code") == AUTHENTICATION_REQUIRED:
        state = PaymentState.REQUIRES_ACTION
    is_open = state == PaymentState.REQUIRES_ACTION
    is_failed = state == PaymentState.FAILED
    return Answer(
        state,
        amount_minor=_amount(intent, "amount"),
        currency=_currency(intent),
        customer_id=id_of(field(intent, "customer")),
        provider_payment_id=str(field(intent, "id")),
        method_id=id_of(field(intent, "payment_method")),
        action_url=field(intent, "next_action", "redirect_to_url", "url") if is_open else None,
        client_secret=field(intent, "client_secret") if is_open else None,
        failure_code=str(field(error, "decline_code") or field(error, "code") or "not_paid") if is_failed else None,
        failure_message=str(field(error, "message") or "The payment was not made.") if is_failed else None,
    )


def statement_of_intent(intent: Any) -> Statement | None:
    """Read a PaymentIntent of Stripe's list; None when it is no payment of ours.

    :raises ShapeNotUnderstood: if it is in a state that we do not know
    """
    try:
        key = uuid.UUID(str(field(intent, "metadata", ORDER_KEY)))
    except ValueError:
        return None
    answer = answer_of_intent(intent)
    refunded = field(intent, "latest_charge", "amount_refunded")
    return Statement(
        key, answer.state, answer.amount_minor, answer.currency,
        refunded if isinstance(refunded, int) else None, answer.provider_payment_id,
    )  # fmt: skip


def answer_of_checkout(session: Any) -> Answer:
    """Read a Checkout Session; its PaymentIntent says more if it came with it.

    :raises ShapeNotUnderstood: if it is in a state that we do not know
    """
    status, paid = field(session, "status"), field(session, "payment_status")
    match (status, paid):
        case ("complete", "paid"):
            state = PaymentState.SUCCEEDED
        case ("complete", "unpaid"):  # a method that takes its time
            state = PaymentState.PENDING
        case ("open", _):
            state = PaymentState.REQUIRES_ACTION
        case ("expired", _):
            state = PaymentState.EXPIRED
        case _:
            raise ShapeNotUnderstood(f"A checkout session {status!r}, {paid!r} is unknown.")
    intent = field(session, "payment_intent")
    return Answer(
        state,
        amount_minor=_amount(session, "amount_total"),
        currency=_currency(session),
        customer_id=id_of(field(session, "customer")),
        provider_payment_id=id_of(intent),
        checkout_id=str(field(session, "id")),
        method_id=None if isinstance(intent, str) else id_of(field(intent, "payment_method")),
        action_url=field(session, "url") if state == PaymentState.REQUIRES_ACTION else None,
    )


def _amount(thing: Any, name: str) -> int:
    amount = field(thing, name)
    if not isinstance(amount, int):
        raise ShapeNotUnderstood(f"There is no {name} where one should be.")
    return amount


def _currency(thing: Any) -> str:
    currency = field(thing, "currency")
    if not isinstance(currency, str):
        raise ShapeNotUnderstood("There is no currency where one should be.")
    return currency.upper()
