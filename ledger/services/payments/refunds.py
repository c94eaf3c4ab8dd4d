"""Refunds by staff: recorded, then asked of the provider, then settled; the credits follow the money.

Two steps, since the provider is never called inside a transaction. A refund whose process died between them, or whose
provider did not answer, is finished by `settle_payments` under the same key.
"""

from __future__ import annotations

import datetime as dt
import logging
import uuid
from typing import NamedTuple

from django.db import transaction
from django.db.models import Sum

from ledger import errors
from ledger.models import (
    DisputeStatus,
    OutcomeSource,
    Payment,
    PaymentDispute,
    PaymentState,
    RefundState,
    StaffRefund,
)
from ledger.providers.base import NoAnswer, Provider, Refunded, Refused
from ledger.providers.registry import provider_named
from ledger.providers.turns import turn
from ledger.services.agreement.locking import lock_balance
from ledger.services.idempotency import fingerprint
from ledger.services.payments.reversals import note_single_refund
from ledger.services.payments.settling import CALL_MAY_TAKE, note_outcome, order_of

FAILED_AT_ONCE = "refund_failed"

logger = logging.getLogger(__name__)


class BegunRefund(NamedTuple):
    """A refund as it is now, and whether an earlier call with the same key recorded it."""

    refund: StaffRefund
    is_replay: bool


def refundable_minor(payment: Payment) -> int:
    """Return how much of a payment can be refunded: what was neither refunded nor taken back by a dispute.

    A refund that is under way counts as made.
    """
    if payment.state != PaymentState.SUCCEEDED:
        return 0
    disputes = PaymentDispute.objects.filter(payment_id=payment.pk).exclude(status=DisputeStatus.WON)
    under_way = StaffRefund.objects.filter(payment_id=payment.pk, state=RefundState.ASKED)
    gone = sum(rows.aggregate(minor=Sum("amount_minor"))["minor"] or 0 for rows in (disputes, under_way))
    return max(payment.amount_minor - payment.refunded_minor - gone, 0)


@transaction.atomic
def begin_refund(
    *,
    user_id: int,
    payment_id: int,
    amount_minor: int,
    note: str,
    actor_id: int,
    idempotency_key: str,
    now: dt.datetime,
) -> BegunRefund:
    """Record that staff refund a part of a payment; `carry_out_refund` asks the provider once this is committed.

    One refund of a payment is under way at a time, and all of them together are no more than was paid. Repeating the
    call with its key returns the refund of the first call.

    :raises PaymentNotFound: if the customer has no such payment
    :raises PaymentsOff: if its provider is no longer configured
    :raises IdempotencyKeyReused: if the key was used for another refund
    :raises PaymentNotRefundable: if it was not paid, or the provider's id of it is not known
    :raises RefundUnderWay, RefundExceedsPayment: if another one is under way, or less is left
    """
    lock_balance(user_id=user_id)
    asked = fingerprint({"payment": payment_id, "minor": amount_minor, "note": note, "actor": actor_id})
    twin = (
        StaffRefund.objects.select_related("payment").filter(user_id=user_id, idempotency_key=idempotency_key).first()
    )
    if twin is not None:
        if bytes(twin.fingerprint) != asked:
            raise errors.IdempotencyKeyReused
        return BegunRefund(twin, is_replay=True)
    payment = Payment.objects.of(user_id).filter(pk=payment_id).first()
    if payment is None:
        raise errors.PaymentNotFound
    provider_named(payment.provider)
    _refuse_refund(payment, amount_minor)
    refund = StaffRefund.objects.create(
        user_id=user_id,
        payment=payment,
        amount_minor=amount_minor,
        provider_key=uuid.uuid4(),
        note=note,
        actor_id=actor_id,
        idempotency_key=idempotency_key,
        fingerprint=asked,
        created_at=now,
        asked_at=now,
    )
    return BegunRefund(refund, is_replay=False)


def _refuse_refund(payment: Payment, amount_minor: int) -> None:
    if payment.state != PaymentState.SUCCEEDED:
        raise errors.PaymentNotRefundable
    if payment.provider_payment_id is None:
        raise errors.PaymentNotRefundable(
            f"The id of this payment at {payment.provider} is not known here: refund it there; the credits follow."
        )
    if StaffRefund.objects.filter(payment_id=payment.pk, state=RefundState.ASKED).exists():
        raise errors.RefundUnderWay
    left = refundable_minor(payment)
    if not 0 < amount_minor <= left:
        raise errors.RefundExceedsPayment(left_minor=left, currency=payment.currency)


def carry_out_refund(*, refund_id: int, now: dt.datetime) -> StaffRefund:
    """Ask the provider for a refund that is recorded, and take back its credits; return the refund as it is then.

    Without an answer it stays under way. Repeating it does nothing once it was made or refused, and gives back no more
    money before.

    :raises PaymentsOff: if the provider is no longer configured
    :raises PaymentProviderBusy: in a request, while too many others ask it
    :raises PaymentMismatch: if the provider gave back something else; it is noted, and stays under way
    """
    return _carry_out(refund_id, now, may_have_been_made=False).refund


class SettledRefund(NamedTuple):
    """A refund as it is after a round, and whether the provider answered."""

    refund: StaffRefund
    was_answered: bool


def settle_refund(*, refund_id: int, now: dt.datetime) -> SettledRefund:
    """Finish a refund that is under way: look for it at the provider first, whose idempotency keys end some day.

    :raises PaymentsOff, PaymentMismatch: as `carry_out_refund`
    """
    return _carry_out(refund_id, now, may_have_been_made=True)


def refunds_in_doubt(*, now: dt.datetime) -> list[int]:
    """Return the refunds under way that the provider was not asked for lately, the longest waiting first."""
    due = StaffRefund.objects.filter(state=RefundState.ASKED, asked_at__lte=now - CALL_MAY_TAKE)
    return list(due.order_by("asked_at", "id").values_list("pk", flat=True))


def _carry_out(refund_id: int, now: dt.datetime, *, may_have_been_made: bool) -> SettledRefund:
    refund = _refund(refund_id)
    if refund.state != RefundState.ASKED:
        return SettledRefund(refund, was_answered=True)
    provider = provider_named(refund.payment.provider)
    with turn():
        StaffRefund.objects.filter(pk=refund_id, state=RefundState.ASKED).update(asked_at=now)
        try:
            answer = _ask(provider, refund, may_have_been_made=may_have_been_made)
        except NoAnswer as silence:
            note_outcome(refund.payment_id, OutcomeSource.ANSWER, "refund_no_answer", str(silence))
            return SettledRefund(refund, was_answered=False)
        except Refused as refusal:
            note_outcome(refund.payment_id, OutcomeSource.ANSWER, "refund_refused", str(refusal))
            _end(refund, now, state=RefundState.REFUSED, failure_code=refusal.code[:100], failure_message=str(refusal))
            return SettledRefund(_refund(refund_id), was_answered=True)
    _record(refund, answer, now)
    return SettledRefund(_refund(refund_id), was_answered=True)


def _ask(provider: Provider, refund: StaffRefund, *, may_have_been_made: bool) -> Refunded:
    order = order_of(refund.payment)
    made = provider.look_up_refund(order, key=refund.provider_key) if may_have_been_made else None
    return made or provider.refund(order, key=refund.provider_key, amount_minor=refund.amount_minor)


def _record(refund: StaffRefund, answer: Refunded, now: dt.datetime) -> None:
    """Note the money and take back the credits, then end the refund: dying in between, the next round does the rest.

    The provider's own webhook of this refund names it by the same id, and so takes nothing more.
    """
    payment = refund.payment
    if (answer.amount_minor, answer.currency) != (refund.amount_minor, payment.currency):
        detail = f"refund: {answer.amount_minor} {answer.currency} instead of {refund.amount_minor} {payment.currency}"
        note_outcome(payment.pk, OutcomeSource.ANSWER, "mismatch", detail)
        logger.error("Refund %s of payment %s: %s", refund.pk, payment.pk, detail)
        raise errors.PaymentMismatch("refund")
    note_single_refund(
        payment_id=payment.pk,
        provider_refund_id=answer.provider_refund_id,
        amount_minor=answer.amount_minor,
        has_failed=answer.has_failed,
        refunded_minor=answer.refunded_minor,
        now=now,
    )
    failure = {"failure_code": FAILED_AT_ONCE, "failure_message": "The provider could not make it."}
    _end(
        refund,
        now,
        state=RefundState.REFUSED if answer.has_failed else RefundState.MADE,
        provider_refund_id=answer.provider_refund_id,
        **(failure if answer.has_failed else {}),
    )


def _end(refund: StaffRefund, now: dt.datetime, **facts: object) -> None:
    """Write what came of a refund, once: whoever is later changes nothing."""
    StaffRefund.objects.filter(pk=refund.pk, state=RefundState.ASKED).update(settled_at=now, **facts)


def _refund(refund_id: int) -> StaffRefund:
    return StaffRefund.objects.select_related("payment__package", "payment__method").get(pk=refund_id)
