"""What providers tell unasked: payments, refunds, disputes and saved cards, in any order and any number of times."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

from django.conf import settings

from ledger import errors
from ledger.models import OutcomeSource, Payment, PaymentCustomer
from ledger.providers.stripe_events import (
    CardNews,
    DisputeNews,
    PaymentNews,
    RefundNews,
    SingleRefundNews,
    Which,
    news_of,
    not_ours,
)
from ledger.providers.stripe_shapes import ShapeNotUnderstood
from ledger.services.payments.cards import forget_card, remember_card
from ledger.services.payments.reversals import note_dispute, note_refund, note_single_refund
from ledger.services.payments.settling import note_outcome, record_answer

PROVIDER = "stripe"

logger = logging.getLogger(__name__)


def take_stripe_event(event: Any, *, now: dt.datetime) -> bool:
    """Record what a message of Stripe's says; answers whether it was about anything of ours.

    One of another account, or of a test while we take real money (or the other way round), is not: Stripe sends test
    messages to live endpoints of platforms, so it is taken without a word, or Stripe would turn the endpoint off.

    Whatever is raised leaves the message to be sent again: nothing is answered with success that was not done.

    :raises WebhookNotUnderstood: if its form is unknown
    :raises PaymentMismatch: if it speaks of another amount, currency or customer than we asked for
    :raises PaymentProviderAway: if more has to be asked, and Stripe does not answer
    """
    kind, name = event.get("type"), event.get("id")
    stranger = not_ours(event, secret_key=settings.STRIPE_SECRET_KEY, account=settings.STRIPE_ACCOUNT)
    if stranger is not None:
        logger.warning("Webhook %s of type %s is not believed: %s", name, kind, stranger)
        return False
    try:
        news = news_of(event)
    except ShapeNotUnderstood as error:
        logger.exception("Webhook %s of type %s is not understood.", name, kind)
        raise errors.WebhookNotUnderstood(str(error)) from error
    if news is None:
        logger.info("Webhook %s of type %s means nothing here.", name, kind)
        return False
    is_ours = _take_card(news, now) if isinstance(news, CardNews) else _take_payment(news, now)
    if not is_ours:
        logger.warning("Webhook %s of type %s is about nothing of ours.", name, kind)
    return is_ours


def _take_payment(news: PaymentNews | RefundNews | SingleRefundNews | DisputeNews, now: dt.datetime) -> bool:
    payment = _payment(news.which)
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


def _take_card(news: CardNews, now: dt.datetime) -> bool:
    if news.customer_id is None:
        return forget_card(provider_name=PROVIDER, method_id=news.method_id, now=now)
    known = PaymentCustomer.objects.filter(provider=PROVIDER, provider_customer_id=news.customer_id).first()
    if known is None:
        return False
    if remember_card(user_id=known.user_id, provider_name=PROVIDER, method_id=news.method_id) is None:
        raise errors.PaymentProviderAway
    return True


def _payment(which: Which) -> Payment | None:
    """Find the payment meant: our own key first, since the provider's names may not be known yet."""
    payments = Payment.objects.filter(provider=PROVIDER)
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
