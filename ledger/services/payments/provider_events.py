"""Events of providers' webhooks: payments, refunds, disputes and saved cards, in any order, any number of times."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from ledger import errors
from ledger.models import OutcomeSource, Payment, PaymentCustomer
from ledger.providers.base import ShapeNotUnderstood
from ledger.providers.news import (
    CardNews,
    DisputeNews,
    News,
    PaymentNews,
    PaymentReference,
    RefundNews,
    SingleRefundNews,
)
from ledger.providers.webhooks import ProviderWebhooks
from ledger.services.payments.cards import forget_card, remember_card
from ledger.services.payments.reversals import note_dispute, note_refund, note_single_refund
from ledger.services.payments.settling import note_outcome, record_answer

logger = logging.getLogger(__name__)


def record_event(event: Any, *, webhooks: ProviderWebhooks, now: dt.datetime) -> bool:
    """Record the event of a verified webhook; return whether it concerned a payment or card of this site.

    An event of another account, or of test mode on a live site (or the reverse), does not: providers send test events
    to live endpoints of platforms, and disable an endpoint that refuses them, so it is accepted and ignored.

    Any exception makes the provider send the webhook again: no event is accepted that was not recorded.

    :raises WebhookNotUnderstood: if its form is unknown
    :raises PaymentMismatch: if amount, currency or customer differ from ours
    :raises PaymentProviderAway: if a card has to be looked up and the provider does not answer
    """
    label = webhooks.label_of(event)
    reason = webhooks.why_not_ours(event)
    if reason is not None:
        logger.warning("Webhook %s is not believed: %s", label, reason)
        return False
    try:
        events = webhooks.events_of(event)
    except ShapeNotUnderstood as error:
        logger.exception("Webhook %s is not understood.", label)
        raise errors.WebhookNotUnderstood(str(error)) from error
    if not events:
        logger.info("Webhook %s has no event of interest.", label)
        return False
    recorded = [_record(news, webhooks.name, now) for news in events]
    if not any(recorded):
        logger.warning("Webhook %s concerns no payment or card of this site.", label)
    return any(recorded)


def _record(news: News, provider_name: str, now: dt.datetime) -> bool:
    if isinstance(news, CardNews):
        return _record_card(news, provider_name, now)
    return _record_payment(news, provider_name, now)


def _record_payment(
    news: PaymentNews | RefundNews | SingleRefundNews | DisputeNews, provider_name: str, now: dt.datetime
) -> bool:
    payment = _payment(news.reference, provider_name)
    if payment is None:
        return False
    if isinstance(news, PaymentNews):
        record_answer(payment_id=payment.pk, answer=news.answer, source=OutcomeSource.WEBHOOK, now=now)
        return True
    _refuse_other_currency(payment, news)
    if isinstance(news, SingleRefundNews):
        note_single_refund(
            payment_id=payment.pk,
            provider_refund_id=news.provider_refund_id,
            amount_minor=news.amount_minor,
            has_failed=news.has_failed,
            now=now,
        )
    elif isinstance(news, RefundNews):
        note_refund(payment_id=payment.pk, refunded_minor=news.refunded_minor, now=now)
    else:
        note_dispute(
            payment_id=payment.pk,
            provider_dispute_id=news.provider_dispute_id,
            amount_minor=news.amount_minor,
            status=news.status,
            now=now,
        )
    return True


def _record_card(news: CardNews, provider_name: str, now: dt.datetime) -> bool:
    if news.customer_id is None:
        return forget_card(provider_name=provider_name, method_id=news.method_id, now=now)
    known = PaymentCustomer.objects.filter(provider=provider_name, provider_customer_id=news.customer_id).first()
    if known is None:
        return False
    if remember_card(user_id=known.user_id, provider_name=provider_name, method_id=news.method_id) is None:
        raise errors.PaymentProviderAway
    return True


def _payment(reference: PaymentReference, provider_name: str) -> Payment | None:
    """Find the payment: by our own key first, since the provider's ids may not be stored yet."""
    payments = Payment.objects.filter(provider=provider_name)
    if reference.key is not None:
        return payments.filter(provider_key=reference.key).first()
    if reference.checkout_id:
        return payments.filter(checkout_id=reference.checkout_id).first()
    if reference.provider_payment_id:
        return payments.filter(provider_payment_id=reference.provider_payment_id).first()
    return None


def _refuse_other_currency(payment: Payment, news: RefundNews | SingleRefundNews | DisputeNews) -> None:
    if news.currency != payment.currency:
        detail = f"currency: {news.currency} instead of {payment.currency}"
        note_outcome(payment.pk, OutcomeSource.WEBHOOK, "mismatch", detail)
        logger.error("Payment %s was recorded back in %s, not %s.", payment.pk, news.currency, payment.currency)
        raise errors.PaymentMismatch("currency")
