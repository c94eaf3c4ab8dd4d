"""Customers who buy: packages, cards of the fake provider, and short names for the services."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.utils import timezone

from accounts.models import User
from ledger.models import Entry, Payment, PaymentMethod, PaymentState, TopUpPackage
from ledger.providers.base import Answer
from ledger.providers.fake import CARDS, FakeProvider
from ledger.providers.registry import provider_named
from ledger.services.payments.settling import settle_payment
from ledger.services.payments.top_ups import Started, start_top_up

LATER = dt.timedelta(minutes=5)


def package(code: str = "small", credits: str = "1000", price_minor: int = 1250, currency: str = "USD") -> TopUpPackage:
    made, _ = TopUpPackage.objects.get_or_create(
        code=code,
        defaults={"name": "Small", "credits": Decimal(credits), "price_minor": price_minor, "currency": currency},
    )
    return made


def card(user: User, method_id: str) -> PaymentMethod:
    """Save one of the fake provider's cards, under a name that only this customer has."""
    made, _ = PaymentMethod.objects.get_or_create(
        user=user,
        provider="fake",
        provider_method_id=f"{method_id}:{user.pk}",
        defaults={"brand": "visa", "last4": CARDS[method_id], "expiry_month": 12, "expiry_year": 2040},
    )
    return made


def buy(user: User, method_id: str | None = None, *, key: str = "", now: dt.datetime | None = None) -> Started:
    """Buy the small package, with a card or on the provider's page."""
    package()
    return start_top_up(
        user_id=user.pk,
        email=user.email,
        package_code="small",
        payment_method_id=None if method_id is None else card(user, method_id).pk,
        idempotency_key=key or uuid.uuid4().hex,
        now=now or timezone.now(),
    )


def bought(user: User, method_id: str | None = None, **asked: Any) -> Payment:
    return buy(user, method_id, **asked).payment


def fake() -> FakeProvider:
    provider = provider_named("fake")
    assert isinstance(provider, FakeProvider)
    return provider


def settled(payment: Payment, *, after: dt.timedelta = LATER) -> Payment:
    """Settle a payment, that long after it was begun."""
    return settle_payment(payment_id=payment.pk, now=payment.created_at + after)


def paid_answer(payment: Payment, **said: Any) -> Answer:
    """Return a provider's answer for a payment that has succeeded."""
    usual = {
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "customer_id": payment.provider_customer_id,
        "provider_payment_id": f"fake_payment_{payment.provider_key}",
    }
    return Answer(PaymentState.SUCCEEDED, **usual | said)


def entries_of(payment: Payment) -> list[Entry]:
    return list(Entry.objects.filter(user_id=payment.user_id, operation="payment").order_by("seq"))


def purchases(user: User) -> list[Decimal]:
    """Return the amounts of a customer's purchases and of their reversals, in order."""
    made = Entry.objects.filter(user=user, operation__in=("payment", "payment_reversal"))
    return list(made.order_by("seq").values_list("amount", flat=True))


assert settings.PAYMENT_PROVIDER == "fake", "tests pay with the fake provider"
