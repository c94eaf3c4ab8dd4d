"""The full status of a customer's auto-reload, for them and for staff."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from config.values.money import in_major_units
from ledger.models import OPEN_STATES, AutoReload, Payment, PaymentKind, PaymentMethod
from ledger.services.agreement.pricing import offered_rate
from ledger.services.agreement.words import status_sentence
from ledger.services.auto_reload.buying import spent_in_month


@dataclass(frozen=True)
class ReloadStatus:
    """Terms, consent, money and the payment in progress; in credits and whole units of the currency."""

    enabled: bool
    status: str
    threshold: Decimal | None
    amount: Decimal | None
    target: Decimal | None
    monthly_cap: Decimal | None
    spent_this_month: Decimal
    currency: str | None
    price_per_1000_credits: Decimal | None
    payment_method: PaymentMethod | None
    consented_at: dt.datetime | None
    consent_sentence: str | None
    disabled_reason: str | None
    disabled_at: dt.datetime | None
    declines_in_a_row: int
    next_attempt_at: dt.datetime | None
    payment: Payment | None


def reload_status(*, user_id: int, now: dt.datetime) -> ReloadStatus:
    """Return the status of a customer's auto-reload; one that was never set is off."""
    known = AutoReload.objects.select_related("method").filter(pk=user_id).first()
    reload = known or AutoReload(user_id=user_id)
    reloads = Payment.objects.of(user_id).filter(kind=PaymentKind.AUTO_RELOAD, state__in=OPEN_STATES)
    payment = reloads.select_related("package").defer("fingerprint").first()
    rate = offered_rate()
    currency = reload.currency or (rate.currency if rate is not None else None)
    price = reload.price_minor or (rate.price_minor if rate is not None else None)

    def money(minor: int | None) -> Decimal | None:
        return None if minor is None or currency is None else in_major_units(minor, currency)

    return ReloadStatus(
        enabled=reload.enabled,
        status=status_sentence(known, payment, now=now),
        threshold=reload.threshold,
        amount=reload.amount,
        target=reload.target,
        monthly_cap=money(reload.monthly_cap_minor),
        spent_this_month=money(spent_in_month(user_id=user_id, now=now)) or Decimal(0),
        currency=currency,
        price_per_1000_credits=money(price),
        payment_method=reload.method,
        consented_at=reload.consented_at,
        consent_sentence=reload.sentence,
        disabled_reason=reload.off_reason,
        disabled_at=reload.turned_off_at,
        declines_in_a_row=reload.declines_in_a_row,
        next_attempt_at=reload.next_attempt_at,
        payment=payment,
    )
