"""Reading Stripe's objects, from responses and from webhooks."""

from __future__ import annotations

import uuid
from typing import Any

from ledger.models import PaymentState
from ledger.providers.base import Answer, Refunded, ShapeNotUnderstood, Statement

ORDER_KEY = "tollbook_payment"
"""The key in Stripe's metadata under which our own key of the payment is stored."""

REFUND_KEY = "tollbook_refund"
"""The same for our key of a refund."""

AUTHENTICATION_REQUIRED = "authentication_required"
"""The error code of a payment that its customer has to confirm. It is not a decline."""

HAS_FAILED = {"pending": False, "requires_action": False, "succeeded": False, "failed": True, "canceled": True}
"""Whether a refund in this state has failed. Source: https://docs.stripe.com/refunds (failed refunds)."""

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
    """Return the value at a path in an object of Stripe's; None if the path does not exist."""
    for name in path:
        try:
            thing = thing[name]
        except (KeyError, TypeError, IndexError):
            return None
    return thing


def id_of(thing: Any) -> str | None:
    """Return the id of an object that may be expanded or be the id itself."""
    if thing is None or isinstance(thing, str):
        return thing
    return str(field(thing, "id"))


def answer_of_intent(intent: Any) -> Answer:
    """Read a PaymentIntent.

    :raises ShapeNotUnderstood: if its state is unknown
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
    """Read a PaymentIntent of Stripe's list; None if it is not a payment of ours.

    :raises ShapeNotUnderstood: if its state is unknown
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
    """Read a Checkout Session; an expanded PaymentIntent adds the card.

    :raises ShapeNotUnderstood: if its state is unknown
    """
    status, paid = field(session, "status"), field(session, "payment_status")
    match (status, paid):
        case ("complete", "paid"):
            state = PaymentState.SUCCEEDED
        case ("complete", "unpaid"):  # a delayed payment method
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


def answer_of_refund(refund: Any) -> Refunded:
    """Read a Refund; its charge, expanded, has the total of what was refunded of the payment.

    :raises ShapeNotUnderstood: if its state is unknown
    """
    status, refund_id = str(field(refund, "status")), field(refund, "id")
    if status not in HAS_FAILED or refund_id is None:
        raise ShapeNotUnderstood(f"A refund in the state {status!r} is unknown.")
    total = field(refund, "charge", "amount_refunded")
    return Refunded(
        str(refund_id), _amount(refund, "amount"), _currency(refund), HAS_FAILED[status],
        total if isinstance(total, int) else None,
    )  # fmt: skip


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
