"""Stripe's events, read into news. Source: https://docs.stripe.com/api/events/types."""

from __future__ import annotations

import uuid
from dataclasses import replace
from typing import Any

from ledger.models import DisputeStatus, PaymentState
from ledger.providers.base import DisputeStatement, ShapeNotUnderstood
from ledger.providers.news import (
    CardNews,
    DisputeNews,
    News,
    PaymentNews,
    PaymentReference,
    RefundNews,
    SingleRefundNews,
)
from ledger.providers.stripe_shapes import (
    HAS_FAILED,
    ORDER_KEY,
    answer_of_checkout,
    answer_of_intent,
    field,
    id_of,
)


def news_of(event: Any) -> News | None:
    """Read an event; None if its type is of no interest.

    :raises ShapeNotUnderstood: if its type is of interest and its form unknown
    """
    kind, thing = field(event, "type"), field(event, "data", "object")
    if not isinstance(kind, str) or not isinstance(thing, dict):
        raise ShapeNotUnderstood("A message without a type or an object.")
    if kind in _OF_INTENTS:
        return PaymentNews(_reference(thing, provider_payment_id=_text(thing, "id")), answer_of_intent(thing))
    if kind in _OF_CHECKOUTS:
        return _of_checkout(kind, thing)
    if kind.startswith(("charge.", "refund.")):
        return _of_money_back(kind, thing)
    if kind == "setup_intent.succeeded":
        return CardNews(str(id_of(field(thing, "payment_method"))), id_of(field(thing, "customer")))
    if kind == "payment_method.detached":
        return CardNews(_text(thing, "id"), None)
    return None


_OF_INTENTS = {
    f"payment_intent.{what}" for what in ("succeeded", "payment_failed", "processing", "requires_action", "canceled")
}
_OF_CHECKOUTS = {
    f"checkout.session.{what}" for what in ("completed", "async_payment_succeeded", "async_payment_failed", "expired")
}


def _of_money_back(kind: str, thing: Any) -> RefundNews | SingleRefundNews | DisputeNews | None:
    if kind == "charge.refunded":
        return RefundNews(_of_charge(thing), _number(thing, "amount_refunded"), _currency(thing))
    if kind.startswith("charge.dispute."):
        return _of_dispute(kind, thing)
    return _of_refund(thing) if kind in _OF_REFUNDS else None


_OF_REFUNDS = {"refund.created", "refund.updated", "refund.failed", "charge.refund.updated"}


def _of_refund(refund: Any) -> SingleRefundNews:
    status = _text(refund, "status")
    if status not in HAS_FAILED:
        raise ShapeNotUnderstood(f"A refund in the state {status!r} is unknown.")
    amount = _number(refund, "amount")
    return SingleRefundNews(_of_charge(refund), _text(refund, "id"), amount, _currency(refund), HAS_FAILED[status])


def _of_checkout(kind: str, session: Any) -> PaymentNews | None:
    if field(session, "mode") != "payment":
        return None
    answer = answer_of_checkout(session)
    if kind == "checkout.session.async_payment_failed":
        message = "The payment was not made."
        answer = replace(answer, state=PaymentState.EXPIRED, failure_code="not_paid", failure_message=message)
    return PaymentNews(_reference(session, checkout_id=_text(session, "id")), answer)


def _of_dispute(kind: str, dispute: Any) -> DisputeNews | None:
    if field(dispute, "status") in _NO_DISPUTES:
        return None
    status = _DISPUTES.get(_text(dispute, "status"))
    if kind == "charge.dispute.funds_reinstated":
        status = DisputeStatus.WON
    if kind == "charge.dispute.funds_withdrawn":
        status = DisputeStatus.OPEN
    if status is None:
        raise ShapeNotUnderstood(f"A dispute in the state {field(dispute, 'status')!r} is unknown.")
    amount = _number(dispute, "amount")
    return DisputeNews(_of_charge(dispute), _text(dispute, "id"), amount, _currency(dispute), status)


_DISPUTES = {
    "won": DisputeStatus.WON,
    "lost": DisputeStatus.LOST,
    "needs_response": DisputeStatus.OPEN,
    "under_review": DisputeStatus.OPEN,
}
# Inquiries withdraw no money. An inquiry that becomes a dispute keeps its id.
_NO_DISPUTES = {"warning_needs_response", "warning_under_review", "warning_closed", "prevented"}


def statement_of_dispute(dispute: Any) -> DisputeStatement | None:
    """Read a dispute of Stripe's list; None if it is an inquiry, which withdraws no money.

    :raises ShapeNotUnderstood: if its status is unknown
    """
    news = _of_dispute("", dispute)
    if news is None:
        return None
    payment_id = news.reference.provider_payment_id or ""
    return DisputeStatement(news.provider_dispute_id, payment_id, news.amount_minor, news.currency, news.status)


def _reference(thing: Any, **names: str) -> PaymentReference:
    key = field(thing, "metadata", ORDER_KEY)
    try:
        return PaymentReference(None if key is None else uuid.UUID(str(key)), **names)
    except ValueError:
        return PaymentReference(None, **names)


def _of_charge(thing: Any) -> PaymentReference:
    return _reference(thing, provider_payment_id=str(id_of(field(thing, "payment_intent")) or ""))


def _text(thing: Any, name: str) -> str:
    value = field(thing, name)
    if not isinstance(value, str) or not value:
        raise ShapeNotUnderstood(f"There is no {name} where one should be.")
    return value


def _number(thing: Any, name: str) -> int:
    value = field(thing, name)
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ShapeNotUnderstood(f"There is no {name} where one should be.")
    return value


def _currency(thing: Any) -> str:
    return _text(thing, "currency").upper()
