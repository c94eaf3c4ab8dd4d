"""What every change of a subscription has in common: the lock, the key, the terms, and its record."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple, cast

from accounts.models import BillingInterval, Plan, Subscription
from ledger import errors
from ledger.models import Entry, SubscriptionChange, SubscriptionChangeKind
from ledger.services.calls import ledger_call
from ledger.services.idempotency import fingerprint


class Done(NamedTuple):
    """A change of a subscription, and whether this call made it or an earlier one with the same key."""

    change: SubscriptionChange
    is_replay: bool


@dataclass(frozen=True)
class Granted:
    """Credits that a change granted at once, and their entries: those that end first, and those that stay longer."""

    credits: Decimal = Decimal(0)
    entry: Entry | None = None
    kept_entry: Entry | None = None


NOTHING = Granted()


@dataclass(frozen=True)
class Terms:
    """The terms of a subscription: its plan, interval, credits a period, and how much may roll over (None: all)."""

    plan_id: int
    interval: BillingInterval
    credits: Decimal
    rollover_cap: Decimal | None

    @classmethod
    def of(cls, subscription: Subscription) -> Terms:
        interval = BillingInterval(subscription.billing_interval)
        return cls(subscription.plan_id, interval, subscription.credits_per_period, subscription.rollover_cap)

    @classmethod
    def pending(cls, subscription: Subscription) -> Terms | None:
        """Return the terms from the next period on, if they differ."""
        if subscription.pending_plan_id is None or subscription.pending_credits is None:
            return None
        interval = BillingInterval(subscription.pending_interval)
        return cls(
            subscription.pending_plan_id, interval, subscription.pending_credits, subscription.pending_rollover_cap
        )

    def apply_to(self, subscription: Subscription) -> None:
        """Set these terms on the subscription from now on."""
        subscription.plan_id = self.plan_id
        subscription.billing_interval = self.interval
        subscription.credits_per_period = self.credits
        subscription.rollover_cap = self.rollover_cap

    def schedule_on(self, subscription: Subscription) -> None:
        """Set these terms on the subscription from its next period on."""
        subscription.pending_plan_id = self.plan_id
        subscription.pending_interval = self.interval
        subscription.pending_credits = self.credits
        subscription.pending_rollover_cap = self.rollover_cap

    @staticmethod
    def forget_pending(subscription: Subscription) -> None:
        subscription.pending_plan = None
        subscription.pending_interval = ""
        subscription.pending_credits = subscription.pending_rollover_cap = None


def terms_of_plan(plan: Plan, interval: BillingInterval, *, is_new: bool) -> Terms:
    """Return the terms on which a plan is sold; a withdrawn plan stays for those who have it.

    :raises PlanNotOffered: if it is not sold, or not for this interval
    """
    credits = plan.credits_per_year if interval == BillingInterval.YEARLY else plan.credits_per_period
    if credits is None:
        raise errors.PlanNotOffered(f"The plan {plan.name} is not sold by the year.")
    if is_new and not plan.is_active:
        raise errors.PlanNotOffered(f"The plan {plan.name} is not on offer.")
    return Terms(plan.pk, BillingInterval(interval), credits, plan.rollover_cap)


@dataclass(frozen=True)
class Asked:
    """What the caller asks for, and under which key."""

    user_id: int
    note: str
    actor_id: int | None
    idempotency_key: str
    what: dict[str, Any]

    def fingerprint(self) -> bytes:
        what = {name: _comparable(value) for name, value in self.what.items()}
        return fingerprint({**what, "note": self.note, "actor": self.actor_id})

    def replay(self) -> Done | None:
        """Return the change made under this key, if any; the caller has locked the balance.

        :raises IdempotencyKeyReused: if the key was used for another change
        """
        found = SubscriptionChange.objects.filter(user_id=self.user_id, idempotency_key=self.idempotency_key).first()
        if found is None:
            return None
        if bytes(found.fingerprint) != self.fingerprint():
            raise errors.IdempotencyKeyReused
        return Done(found, is_replay=True)

    def record(
        self,
        subscription: Subscription,
        kind: SubscriptionChangeKind,
        terms: Terms,
        *,
        effective_at: dt.datetime,
        granted: Granted = NOTHING,
    ) -> Done:
        """Record the change."""
        change = SubscriptionChange.objects.create(
            user_id=self.user_id,
            subscription=subscription,
            kind=kind,
            plan_id=terms.plan_id,
            billing_interval=terms.interval,
            credits_per_period=terms.credits,
            effective_at=effective_at,
            credits=granted.credits,
            entry=granted.entry,
            kept_entry=granted.kept_entry,
            note=self.note,
            actor_id=self.actor_id,
            idempotency_key=self.idempotency_key,
            fingerprint=self.fingerprint(),
        )
        return Done(change, is_replay=False)


def lock_and_renew(user_id: int) -> dt.datetime:
    """Lock the customer's balance, do everything that is due, and return the time of that.

    :raises UnknownCustomer: if there is no such user
    """
    (now,) = ledger_call("ledger_renew", p_user_id=user_id)
    return cast(dt.datetime, now)


def _comparable(value: object) -> object:
    return value.astimezone(dt.UTC).isoformat() if isinstance(value, dt.datetime) else value
