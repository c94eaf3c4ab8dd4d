"""Events of providers' webhooks: payments, refunds, disputes and saved cards, in any order, any number of times."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from ledger import errors
from ledger.models import OutcomeSource, Payment, PaymentCustomer
from ledger.providers.base import ShapeNotUnderstood
from ledger.providers.news import CardNews, DisputeNews, News, PaymentNews, RefundNews, SingleRefundNews, Which
from ledger.providers.webhooks import ProviderWebhooks
from ledger.services.payments.cards import forget_card, remember_card
from ledger.services.payments.reversals import note_dispute, note_refund, note_single_refund
from ledger.services.payments.settling import note_outcome, record_answer

logger = logging.getLogger(__name__)


def take_event(event: Any, *, webhooks: ProviderWebhooks, now: dt.datetime) -> bool:
    """Record the event of a verified webhook; returns whether it concerned a payment or card of this site.

    An event of another account, or of test mode on a live site (or the reverse), does not: providers send test events
    to live endpoints of platforms, and disable an endpoint that refuses them, so it is accepted and ignored.

    Whatever is raised makes the provider send the webhook again: no event is accepted that was not recorded.

    :raises WebhookNotUnderstood: if its form is unknown
    :raises PaymentMismatch: if amount, currency or customer differ from ours
    :raises PaymentProviderAway: if a card has to be looked up and the provider does not answer
    """
    label = webhooks.label_of(event)
    stranger = webhooks.why_not_ours(event)
    if stranger is not None:
        logger.warning("Webhook %s is not believed: %s", label, stranger)
        return False
    try:
        told = webhooks.events_of(event)
    except ShapeNotUnderstood as error:
        logger.exception("Webhook %s is not understood.", label)
        raise errors.WebhookNotUnderstood(str(error)) from error
    if not told:
        logger.info("Webhook %s means nothing here.", label)
        return False
    taken = [_take(news, webhooks.name, now) for news in told]
    if not any(taken):
        logger.warning("Webhook %s is about nothing of ours.", label)
    return any(taken)


def _take(news: News, provider_name: str, now: dt.datetime) -> bool:
    if isinstance(news, CardNews):
        return _take_card(news, provider_name, now)
    return _take_payment(news, provider_name, now)


def _take_payment(
    news: PaymentNews | RefundNews | SingleRefundNews | DisputeNews, provider_name: str, now: dt.datetime
) -> bool:
    payment = _payment(news.which, provider_name)
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


def _take_card(news: CardNews, provider_name: str, now: dt.datetime) -> bool:
    if news.customer_id is None:
        return forget_card(provider_name=provider_name, method_id=news.method_id, now=now)
    known = PaymentCustomer.objects.filter(provider=provider_name, provider_customer_id=news.customer_id).first()
    if known is None:
        return False
    if remember_card(user_id=known.user_id, provider_name=provider_name, method_id=news.method_id) is None:
        raise errors.PaymentProviderAway
    return True


def _payment(which: Which, provider_name: str) -> Payment | None:
    """Find the payment: by our own key first, since the provider's ids may not be stored yet."""
    payments = Payment.objects.filter(provider=provider_name)
    if which.key is not None:
        return payments.filter(provider_key=which.key).first()
    if which.checkout_id:
        return payments.filter(checkout_id=which.checkout_id).first()
    if which.provider_payment_id:
        return payments.filter(provider_payment_id=which.provider_payment_id).first()
    return None


def _refuse_other_currency(payment: Payment, news: RefundNews | SingleRefundNews | DisputeNews) -> None:
    if news.currency != payment.currency:
        said = f"currency: {news.currency} instead of {payment.currency}"
        note_outcome(payment.pk, OutcomeSource.WEBHOOK, "mismatch", said)
        logger.error("Payment %s was taken back in %s, not %s.", payment.pk, news.currency, payment.currency)
        raise errors.PaymentMismatch("currency")
