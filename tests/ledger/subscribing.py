"""Subscriptions for tests: made by their services, and brought to the end of a period on demand."""

from __future__ import annotations

import datetime as dt
import uuid
from decimal import Decimal
from typing import Any

from accounts.models import BillingInterval, Plan, Subscription, User
from ledger.models import SubscriptionPeriod
from ledger.services.subscriptions import actions
from ledger.services.subscriptions.changes import Done
from tests.factories import PlanFactory
from tests.ledger.tampering import unguarded

MONTHLY, YEARLY = BillingInterval.MONTHLY, BillingInterval.YEARLY


def plan(credits: Decimal | int | str = 1000, cap: Decimal | int | str | None = 0, **fields: Any) -> Plan:
    """Create a plan of that many credits a month, of which that many (None: all) may roll over."""
    made = PlanFactory(
        credits_per_period=Decimal(credits), rollover_cap=None if cap is None else Decimal(cap), **fields
    )
    made.refresh_from_db()
    return made


def subscribe(user: User, to: Plan, interval: BillingInterval = MONTHLY, **named: Any) -> Subscription:
    """Start a subscription now, or at `starts_at`."""
    return _done(actions.start_subscription, user, plan=to, interval=interval, **named).change.subscription


def move(user: User, to: Plan, interval: BillingInterval = MONTHLY, **named: Any) -> Done:
    return _done(actions.change_plan, user, plan=to, interval=interval, **named)


def pause(user: User, **named: Any) -> Done:
    return _done(actions.pause_subscription, user, **named)


def resume(user: User, **named: Any) -> Done:
    return _done(actions.resume_subscription, user, **named)


def cancel(user: User, **named: Any) -> Done:
    return _done(actions.cancel_subscription, user, **named)


def subscription_of(user: User) -> Subscription:
    """Return the latest subscription of a customer, as its row says."""
    return Subscription.objects.filter(user=user).latest("id")


def spans(user: User) -> list[tuple[dt.datetime, dt.datetime, Decimal]]:
    """Return the periods that have begun, and the credits of each."""
    periods = SubscriptionPeriod.objects.filter(user=user).order_by("starts_at")
    return list(periods.values_list("starts_at", "ends_at", "credits"))


def let_time_pass(user: User, *, months: int = 0, days: int = 0) -> None:
    """Move the customer's subscription, its periods and its grants that far back: what a test cannot wait for.

    And one second more: no new period begins when an old one did, since its start is the key of its entries. Only the
    clock seems to have changed: the balance still says when to look next.
    """
    by = {"by": dt.timedelta(days=days, seconds=1), "months": months, "user": user.pk}
    with unguarded() as connection:
        for table, columns in _TIMES.items():
            changes = ", ".join(f"{column} = {_BACK.format(column=column)}" for column in columns)
            connection.execute(f"UPDATE {table} SET {changes} WHERE user_id = %(user)s", by)
        connection.execute(
            f"UPDATE ledger_balance SET next_expiry_at = {_BACK.format(column='next_expiry_at')}"
            " WHERE user_id = %(user)s AND next_expiry_at < '9000-01-01'",
            by,
        )


_BACK = "({column} AT TIME ZONE 'UTC' - make_interval(months => %(months)s) - %(by)s) AT TIME ZONE 'UTC'"
_TIMES = {
    "accounts_subscription": (
        "anchor_at", "started_at", "current_period_start", "current_period_end", "next_grant_at", "ends_at",
        "paused_at",
    ),
    "ledger_subscriptionperiod": ("starts_at", "ends_at"),
    "ledger_subscriptionchange": ("effective_at",),
    "ledger_grant": ("effective_at", "expires_at"),
}  # fmt: skip


def _done(service: Any, user: User, **named: Any) -> Done:
    named = {"note": "as agreed", "actor_id": None, "idempotency_key": uuid.uuid4().hex, **named}
    return service(user_id=user.pk, **named)
