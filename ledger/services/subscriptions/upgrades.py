"""Credits that an upgrade brings at once: the difference, for what is left of the running period."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from decimal import Decimal

from accounts.models import Plan, Subscription
from ledger.models import Entry, EntryReason, GrantCategory
from ledger.services.grants import GrantTerms, open_grant
from ledger.services.subscriptions.changes import NOTHING, Granted, Terms
from ledger.services.subscriptions.periods import MONTHS, months_after, prorated

ZERO = Decimal(0)


@dataclass(frozen=True)
class Upgrade:
    """The old and the new terms, and the number of the change in the subscription."""

    before: Terms
    after: Terms
    number: int


def grant_upgrade(subscription: Subscription, upgrade: Upgrade, *, now: dt.datetime) -> Granted:
    """Grant the difference of both terms for the rest of the running period, rounded to six places, half up.

    The credits end with the period, except what the new cap lets roll over beyond the old one: that ends a period
    later, or never without a cap. The caller has locked the balance.
    """
    start, end = subscription.current_period_start, subscription.current_period_end
    anchor, step = subscription.anchor_at or start, MONTHS[upgrade.before.interval]
    whole = months_after(anchor, subscription.months_elapsed + step) - start
    credits = prorated(upgrade.after.credits - upgrade.before.credits, part=end - now, whole=whole)
    if credits == ZERO:
        return NOTHING
    if upgrade.after.rollover_cap is None:
        return Granted(credits, entry=_grant(subscription, upgrade, credits, ends_at=None, suffix=""))
    kept = min(credits, max(upgrade.after.rollover_cap - (upgrade.before.rollover_cap or ZERO), ZERO))
    entry = kept_entry = None
    if credits > kept:
        entry = _grant(subscription, upgrade, credits - kept, ends_at=end, suffix="")
    if kept > ZERO:
        until = months_after(anchor, subscription.months_elapsed + 2 * step)
        kept_entry = _grant(subscription, upgrade, kept, ends_at=until, suffix=":rolls-over")
    return Granted(credits, entry, kept_entry)


def _grant(
    subscription: Subscription, upgrade: Upgrade, credits: Decimal, *, ends_at: dt.datetime | None, suffix: str
) -> Entry:
    plan = Plan.objects.get(pk=upgrade.after.plan_id)
    rest = f"Upgrade to {plan.name}, to {subscription.current_period_end.astimezone(dt.UTC):%Y-%m-%d}"
    return open_grant(
        user_id=subscription.user_id,
        amount=credits,
        reason=EntryReason.GRANT,
        description=f"{rest}: rolls over" if suffix else rest,
        operation="subscription",
        idempotency_key=f"{subscription.pk}:change:{upgrade.number}{suffix}",
        terms=GrantTerms(category=GrantCategory.PAID, expires_at=ends_at),
    ).entry
