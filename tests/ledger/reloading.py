"""Customers who have agreed to auto-reload, and short names for its services."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import Notice, User
from ledger.models import AutoReload, Payment, PaymentKind, PaymentState, Threshold
from ledger.providers import fake as cards
from ledger.services.auto_reload.buying import reload_one, reloads_due
from ledger.services.auto_reload.terms import change_auto_reload
from tests.factories import customer_with
from tests.ledger.paying import card
from tests.ledger.posting import post

MINUTE = dt.timedelta(minutes=1)
NOON = dt.datetime(2026, 11, 10, 12, tzinfo=dt.UTC)  # the middle of a month, whatever the clock says
TERMS = {"threshold": Decimal(100), "amount": Decimal(1000), "monthly_cap": Decimal(500)}


def change(user: User, *, now: dt.datetime = NOON, **changes: Any) -> AutoReload | None:
    return change_auto_reload(user_id=user.pk, changes=changes, now=now)


def agreed(user: User, method_id: str = cards.APPROVE, *, now: dt.datetime = NOON, **terms: Any) -> AutoReload:
    """Turn auto-reload on, with a card of the fake provider: 1,000 credits below 100, at most 500 dollars a month."""
    asked = TERMS | terms
    if asked.get("target") is not None:
        asked.pop("amount")
    made = change(user, now=now, enabled=True, consent=True, payment_method_id=card(user, method_id).pk, **asked)
    assert made is not None
    return made


def low(credits: int | str = 50, method_id: str = cards.APPROVE, **terms: Any) -> User:
    """Create a customer who has agreed, and then spent all but that many credits."""
    user = customer_with(1000)
    agreed(user, method_id, **terms)
    spend(user, 1000 - Decimal(credits))
    return user


def spend(user: User, credits: Decimal | int | str) -> None:
    post(user, -Decimal(credits))


def run_all(now: dt.datetime = NOON) -> list[str]:
    """Do one round, as the command does."""
    return [reload_one(user_id=user_id, now=now) for user_id in reloads_due(now=now)]


def run_for(start: dt.datetime, length: dt.timedelta, *, every: dt.timedelta = MINUTE) -> list[str]:
    """Do rounds at equal intervals; return the outcome of each."""
    done, now = [], start
    while now < start + length:
        done += run_all(now)
        now += every
    return done


def reload_of(user: User) -> AutoReload:
    return AutoReload.objects.get(pk=user.pk)


def reloads(user: User) -> list[Payment]:
    """Return the auto-reload payments of a customer, in order."""
    return list(Payment.objects.filter(user=user, kind=PaymentKind.AUTO_RELOAD).order_by("pk"))


def bought_credits(user: User) -> list[Decimal]:
    return [payment.credits for payment in reloads(user) if payment.state == PaymentState.SUCCEEDED]


def told(user: User) -> list[str]:
    """Return the types of a customer's auto-reload notices, in order."""
    mine = Notice.objects.filter(user=user, type__startswith="auto_reload.").order_by("pk")
    return [type.removeprefix("auto_reload.") for type in mine.values_list("type", flat=True)]


def threshold_of(user: User) -> Threshold | None:
    return Threshold.objects.filter(user=user, name="auto_reload").first()


def soon() -> dt.datetime:
    return timezone.now()
