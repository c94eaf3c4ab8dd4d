"""Auto-reload: customers whose available credits fell below their threshold buy more, within what they agreed to.

One payment is in progress at a time and closes the whole gap. The decision is one transaction under the balance's lock,
which writes the payment; the provider is asked after it (docs/decisions/0033).
"""

from __future__ import annotations

import datetime as dt
import time
import uuid
from dataclasses import dataclass
from decimal import Decimal

from django.db import transaction
from django.db.models import Exists, OuterRef, Q, Sum

from config.values.credits import LARGEST
from ledger import errors
from ledger.models import (
    OPEN_STATES,
    AutoReload,
    OffReason,
    Payment,
    PaymentKind,
    PaymentState,
    ReloadEventKind,
    Threshold,
)
from ledger.models.payment import PaymentQuerySet
from ledger.providers.base import Provider
from ledger.providers.registry import chosen_provider
from ledger.services.agreement.locking import (
    THRESHOLD,
    LockedCredits,
    lock_balance,
    locked_reload,
    note_event,
    turn_off,
)
from ledger.services.agreement.notices import notify_cap_reached
from ledger.services.agreement.outcomes import NEVER_SENT
from ledger.services.agreement.pricing import LARGEST_CHARGE_MINOR, Purchase, Rate, offered_rate, purchase_for, terms_of
from ledger.services.auto_reload.terms import COOL_DOWN
from ledger.services.idempotency import fingerprint
from ledger.services.payments.cards import customer_at, is_disputed
from ledger.services.payments.top_ups import TIME_TO_ACT, ask_provider, time_since
from ledger.services.subscriptions.periods import month_of, months_after

MOST_FAILURES_A_DAY = 24  # for each customer, also if it is turned off and on again in between
DAY = dt.timedelta(days=1)
WHY_NOT = (
    "off", "enough", "waits", "frozen", "inactive", "coming", "cap_reached", "turned_off", "full", "not_offered",
    "away",
)  # fmt: skip
_EVER = dt.datetime(9999, 1, 1, tzinfo=dt.UTC)
PAYING_TAKES = dt.timedelta(minutes=30)  # for that long, a payment that the customer has begun counts as incoming


@dataclass(frozen=True)
class _Offer:
    """The provider, the customer's id there, and the price of credits."""

    provider: Provider
    customer_id: str
    rate: Rate


def reloads_due(*, now: dt.datetime, crossed_by: dt.datetime = _EVER) -> list[int]:
    """Return the customers below their threshold who agreed to buy, ordered by the time of the crossing.

    Customers with a frozen balance, deactivated ones, those who have to wait and those with a payment in progress are
    left out, and crossings after `crossed_by`.
    """
    crossed = Threshold.objects.filter(name=THRESHOLD, crossed_at__lte=crossed_by)
    # In two steps, so that only customers below their threshold are read, whatever the statistics are.
    low = list(crossed.order_by("crossed_at", "user_id").values_list("user_id", flat=True))
    in_flight = Payment.objects.filter(user_id=OuterRef("pk"), kind=PaymentKind.AUTO_RELOAD, state__in=OPEN_STATES)
    due = AutoReload.objects.filter(
        Q(next_attempt_at__isnull=True) | Q(next_attempt_at__lte=now),
        ~Exists(in_flight),
        pk__in=low,
        enabled=True,
        user__is_active=True,
        user__balance__frozen_at__isnull=True,
    )
    may_buy = set(due.values_list("pk", flat=True))
    return [user_id for user_id in low if user_id in may_buy]


def reload_one(*, user_id: int, now: dt.datetime) -> str:
    """Buy for one customer what the terms say, if anything; return the payment's state, or why there is none.

    `off`, `enough`, `waits`, `frozen`, `inactive`, `coming` (credits are on their way), `cap_reached`, `turned_off`
    (just now), `full` (the balance limit leaves no room), `not_offered` (the site has no price), `away` (the provider).
    Of concurrent calls, one begins a payment.
    """
    reload = AutoReload.objects.select_related("user").filter(pk=user_id, enabled=True).first()
    began, rate = time.monotonic(), offered_rate()
    if reload is None or rate is None:
        return "off" if reload is None else "not_offered"
    try:
        provider = chosen_provider()
        customer_id = customer_at(provider=provider, user_id=user_id, email=reload.user.email)
    except errors.PaymentsOff:
        return "not_offered"
    except errors.PaymentProviderAway:
        return "away"
    intent = _decide(user_id, _Offer(provider, customer_id, rate), now, began)
    if isinstance(intent, str):
        return intent
    return str(ask_provider(intent, provider, intent.created_at).state)


@transaction.atomic(durable=True)
def _decide(user_id: int, offer: _Offer, now: dt.datetime, began: float) -> Payment | str:
    """Write the payment that is due now, or return why none is; this is committed before the provider is called."""
    locked = lock_balance(user_id=user_id)
    now += time_since(began)
    reload = locked_reload(user_id=user_id)
    if reload is None or not reload.enabled:
        return "off"
    reason = _reason_to_turn_off(reload, offer)
    if reason is not None:
        turn_off(reload, reason=reason, now=now)
        return "turned_off"
    return _reason_to_wait(reload, locked, now) or _buy(reload, locked, offer, now)


def _reason_to_turn_off(reload: AutoReload, offer: _Offer) -> OffReason | None:
    method = terms_of(reload).method
    if method.removed_at is not None or method.provider != offer.provider.name:
        return OffReason.METHOD_REMOVED
    if is_disputed(method):
        return OffReason.DISPUTED
    if reload.currency != offer.rate.currency or offer.rate.price_minor > (reload.price_minor or 0):
        return OffReason.PRICE_CHANGED
    return None


def _reason_to_wait(reload: AutoReload, locked: LockedCredits, now: dt.datetime) -> str | None:
    if locked.crossed_at is None:
        return "enough"
    if locked.frozen_at is not None:
        return "frozen"
    if not reload.user.is_active:
        return "inactive"
    if reload.next_attempt_at is not None and reload.next_attempt_at > now:
        return "waits"
    if _reloads_of(reload.pk).filter(state__in=OPEN_STATES).exists():
        return "coming"
    return "waits" if _has_failed_too_often(reload, now) else None


def _has_failed_too_often(reload: AutoReload, now: dt.datetime) -> bool:
    """Return whether this customer's cards were declined too often within a day."""
    failed = _reloads_of(reload.pk).filter(state=PaymentState.FAILED, created_at__gt=now - DAY)
    latest = failed.exclude(failure_code=NEVER_SENT).order_by("-created_at").values_list("created_at", flat=True)
    times = list(latest[:MOST_FAILURES_A_DAY])
    if len(times) < MOST_FAILURES_A_DAY:
        return False
    _wait(reload, times[-1] + DAY, now)
    return True


def _buy(reload: AutoReload, locked: LockedCredits, offer: _Offer, now: dt.datetime) -> Payment | str:
    terms = terms_of(reload)
    coming = _coming(reload.pk, now)
    if locked.available + coming >= terms.threshold:
        return "coming"
    left = terms.monthly_cap_minor - spent_in_month(user_id=reload.pk, now=now)
    purchase = purchase_for(
        terms, has=locked.available + coming, left_minor=min(left, LARGEST_CHARGE_MINOR), rate=offer.rate
    )
    if purchase is None:
        _note_cap_reached(reload, now)
        return "cap_reached"
    if locked.balance + coming + purchase.credits > LARGEST:
        _wait(reload, now + DAY, now)
        return "full"
    return _begin(reload, purchase, offer, now)


def spent_in_month(*, user_id: int, now: dt.datetime) -> int:
    """Return what auto-reload spent or is about to spend in the calendar month (UTC), in the smallest unit."""
    begun = _reloads_of(user_id).filter(created_at__gte=month_of(now), created_at__lt=months_after(month_of(now), 1))
    counted = begun.filter(state__in=[*OPEN_STATES, PaymentState.SUCCEEDED])
    return int(counted.aggregate(spent=Sum("amount_minor"))["spent"] or 0)


def _coming(user_id: int, now: dt.datetime) -> Decimal:
    """Return the credits of payments in progress that may still succeed."""
    begun = Payment.objects.of(user_id).filter(
        Q(state=PaymentState.PENDING) | Q(state=PaymentState.REQUIRES_ACTION, created_at__gt=now - PAYING_TAKES)
    )
    return begun.aggregate(credits=Sum("credits"))["credits"] or Decimal(0)


def _begin(reload: AutoReload, purchase: Purchase, offer: _Offer, now: dt.datetime) -> Payment:
    key = uuid.uuid4()
    payment = Payment.objects.create(
        user_id=reload.pk,
        method=reload.method,
        kind=PaymentKind.AUTO_RELOAD,
        credits=purchase.credits,
        amount_minor=purchase.price_minor,
        currency=offer.rate.currency,
        provider=offer.provider.name,
        provider_key=key,
        provider_customer_id=offer.customer_id,
        idempotency_key=f"auto-reload {key}",
        fingerprint=fingerprint({"auto_reload": str(key)}),
        created_at=now,
        asked_at=now,
        expires_at=now + TIME_TO_ACT,
    )
    reload.last_attempt_at = now
    reload.cap_reached_in = None
    _wait(reload, now + COOL_DOWN, now)
    note_event(reload, ReloadEventKind.ATTEMPT, now=now, payment=payment)
    return payment


def _note_cap_reached(reload: AutoReload, now: dt.datetime) -> None:
    month = month_of(now).date()
    is_news = reload.cap_reached_in != month
    reload.cap_reached_in = month
    _wait(reload, months_after(month_of(now), 1), now)
    if is_news:
        note_event(reload, ReloadEventKind.CAP_REACHED, now=now)
        notify_cap_reached(reload, month=month, now=now)


def _wait(reload: AutoReload, until: dt.datetime, now: dt.datetime) -> None:
    reload.next_attempt_at = until
    reload.updated_at = now
    reload.save()


def _reloads_of(user_id: int) -> PaymentQuerySet:
    return Payment.objects.of(user_id).filter(kind=PaymentKind.AUTO_RELOAD)
