"""Subscriptions: credits with each period, and what staff do to them.

Each service locks the customer's balance first, brings the subscription up to date, looks at the key, and then at the
rule (docs/decisions/0034). The database decides what a renewal brings (`ledger_periods_due`), whether a job, a charge
or a reader comes first.
"""

from __future__ import annotations

import datetime as dt

from django.db import transaction

from accounts.models import BillingInterval, Plan, Subscription, SubscriptionStatus
from accounts.selectors import live_subscription_of
from ledger import errors
from ledger.models import SubscriptionChange, SubscriptionChangeKind
from ledger.services.grants import after_settling
from ledger.services.subscriptions.changes import Asked, Done, Terms, lock_and_renew, terms_of_plan
from ledger.services.subscriptions.periods import MONTHS, months_after
from ledger.services.subscriptions.upgrades import Upgrade, grant_upgrade

Kind = SubscriptionChangeKind


@after_settling
@transaction.atomic
def start_subscription(
    *,
    user_id: int,
    plan: Plan,
    interval: BillingInterval,
    note: str,
    actor_id: int | None,
    idempotency_key: str,
    starts_at: dt.datetime | None = None,
    ends_at: dt.datetime | None = None,
) -> Done:
    """Start a subscription; the first period's credits come at once.

    Periods are counted from the beginning: the n-th starts n months (or years) after it, on the month's last day where
    the month is shorter. With `starts_at` they are counted from an earlier time, and all that was due since comes at
    once, each period with its own end. Repeating the call with its key returns the change of the first call.

    :raises SubscriptionExists: if another one runs
    :raises PlanNotOffered: if the plan is not on offer, or not for this interval
    :raises SubscriptionUntimely: if it would begin later than now, or end before
    :raises IdempotencyKeyReused, UnknownCustomer: as all services do
    """
    now = lock_and_renew(user_id)
    asked = Asked(user_id, note, actor_id, idempotency_key, {
        "start": plan.pk, "interval": interval, "from": starts_at, "to": ends_at})  # fmt: skip
    if (earlier := asked.replay()) is not None:
        return earlier
    if live_subscription_of(user_id=user_id) is not None:
        raise errors.SubscriptionExists
    terms = terms_of_plan(plan, interval, is_new=True)
    anchor = starts_at or now
    if anchor > now or (ends_at is not None and ends_at <= now):
        raise errors.SubscriptionUntimely
    subscription = Subscription(user_id=user_id, started_at=anchor, ends_at=ends_at)
    terms.apply_to(subscription)
    _begin_at(subscription, anchor)
    subscription.save()
    lock_and_renew(user_id)
    subscription.refresh_from_db()
    return asked.record(subscription, Kind.START, terms, effective_at=anchor)


@after_settling
@transaction.atomic
def change_plan(
    *,
    user_id: int,
    plan: Plan,
    interval: BillingInterval,
    note: str,
    actor_id: int | None,
    idempotency_key: str,
    at_period_end: bool = False,
) -> Done:
    """Change the plan or interval of a subscription.

    More credits for a period of the same length come at once, for what is left of the running period; with
    `at_period_end`, and in all other cases, the running period stays as it is and the next one has the new terms.
    Asking for the current terms takes back a pending change. Repeating the call with its key returns the result of the
    first call.

    :raises SubscriptionNotFound: if none runs that brings credits
    :raises SubscriptionUnchanged: if it has these terms already, is paused, or is about to end
    :raises PlanNotOffered: as `start_subscription`
    """
    now = lock_and_renew(user_id)
    asked = Asked(user_id, note, actor_id, idempotency_key, {
        "change": plan.pk, "interval": interval, "at_period_end": at_period_end})  # fmt: skip
    if (earlier := asked.replay()) is not None:
        return earlier
    subscription = _running(user_id)
    if subscription.status == SubscriptionStatus.PAUSED:
        raise errors.SubscriptionUnchanged("The subscription is paused; resume it first.")
    if subscription.cancel_at_period_end:
        raise errors.SubscriptionUnchanged("The subscription is canceled; take that back first.")
    terms = terms_of_plan(plan, interval, is_new=plan.pk != subscription.plan_id)
    before = Terms.of(subscription)
    if terms == before:
        return _keep_terms(subscription, terms, asked, now)
    if terms.interval != before.interval or terms.credits <= before.credits or at_period_end:
        return _schedule(subscription, terms, asked)
    number = SubscriptionChange.objects.filter(subscription=subscription).count() + 1
    granted = grant_upgrade(subscription, Upgrade(before, terms, number), now=now)
    terms.apply_to(subscription)
    Terms.forget_pending(subscription)
    subscription.save()
    return asked.record(subscription, Kind.UPGRADE, terms, effective_at=now, granted=granted)


@after_settling
@transaction.atomic
def pause_subscription(*, user_id: int, note: str, actor_id: int | None, idempotency_key: str) -> Done:
    """Pause a subscription until it is resumed; credits already granted stay, and expire when they would have.

    :raises SubscriptionNotFound, IdempotencyKeyReused: as `change_plan`
    :raises SubscriptionUnchanged: if it is paused already, or about to end
    """
    now = lock_and_renew(user_id)
    asked = Asked(user_id, note, actor_id, idempotency_key, {"pause": True})
    if (earlier := asked.replay()) is not None:
        return earlier
    subscription = _running(user_id)
    if subscription.status == SubscriptionStatus.PAUSED:
        raise errors.SubscriptionUnchanged("The subscription is paused already.")
    if subscription.cancel_at_period_end:
        raise errors.SubscriptionUnchanged("The subscription is canceled; take that back first.")
    subscription.status = SubscriptionStatus.PAUSED
    subscription.paused_at = now
    subscription.next_grant_at = None
    subscription.save()
    lock_and_renew(user_id)
    return asked.record(subscription, Kind.PAUSE, Terms.of(subscription), effective_at=now)


@after_settling
@transaction.atomic
def resume_subscription(*, user_id: int, note: str, actor_id: int | None, idempotency_key: str) -> Done:
    """End a pause, or take back a cancellation that waits for the period's end.

    While the paused period still runs it goes on. Once it is over a new one begins now, from which periods are counted
    anew, and its credits come at once; the credits of the time in between are not granted.

    :raises SubscriptionNotFound, IdempotencyKeyReused: as `change_plan`
    :raises SubscriptionUnchanged: if it is neither paused nor canceled
    """
    now = lock_and_renew(user_id)
    asked = Asked(user_id, note, actor_id, idempotency_key, {"resume": True})
    if (earlier := asked.replay()) is not None:
        return earlier
    subscription = _running(user_id)
    if subscription.status != SubscriptionStatus.PAUSED and not subscription.cancel_at_period_end:
        raise errors.SubscriptionUnchanged("The subscription is neither paused nor canceled.")
    kind = Kind.CANCEL_KEPT if subscription.cancel_at_period_end else Kind.RESUME
    subscription.status = SubscriptionStatus.ACTIVE
    subscription.paused_at = None
    subscription.cancel_at_period_end = False
    subscription.canceled_at = None
    if subscription.current_period_end <= now:
        if (pending := Terms.pending(subscription)) is not None:
            pending.apply_to(subscription)
            Terms.forget_pending(subscription)
        _begin_at(subscription, now)
    subscription.next_grant_at = _next_grant_at(subscription)
    subscription.save()
    lock_and_renew(user_id)
    subscription.refresh_from_db()
    return asked.record(subscription, kind, Terms.of(subscription), effective_at=now)


@after_settling
@transaction.atomic
def cancel_subscription(
    *, user_id: int, note: str, actor_id: int | None, idempotency_key: str, at_once: bool = False
) -> Done:
    """End a subscription with its period, or `at_once`; credits already granted stay, and expire when they would have.

    A paused one, and a record kept by hand, end at once.

    :raises SubscriptionNotFound, IdempotencyKeyReused: as `change_plan`
    :raises SubscriptionUnchanged: if it ends with its period already
    """
    now = lock_and_renew(user_id)
    asked = Asked(user_id, note, actor_id, idempotency_key, {"cancel": True, "at_once": at_once})
    if (earlier := asked.replay()) is not None:
        return earlier
    subscription = _running(user_id, also_kept_by_hand=True)
    waits = not at_once and subscription.status == SubscriptionStatus.ACTIVE and subscription.anchor_at is not None
    if waits and subscription.cancel_at_period_end:
        raise errors.SubscriptionUnchanged("The subscription ends with its period already.")
    subscription.canceled_at = now
    subscription.next_grant_at = None
    subscription.cancel_at_period_end = waits
    Terms.forget_pending(subscription)
    if not waits:
        subscription.status = SubscriptionStatus.CANCELED
    subscription.save()
    lock_and_renew(user_id)
    return asked.record(
        subscription,
        Kind.CANCEL_LATER if waits else Kind.CANCEL,
        Terms.of(subscription),
        effective_at=subscription.current_period_end if waits else now,
    )


def _running(user_id: int, *, also_kept_by_hand: bool = False) -> Subscription:
    found = live_subscription_of(user_id=user_id)
    if found is None or (found.anchor_at is None and not also_kept_by_hand):
        raise errors.SubscriptionNotFound
    return found


def _keep_terms(subscription: Subscription, terms: Terms, asked: Asked, now: dt.datetime) -> Done:
    if subscription.pending_plan_id is None:
        raise errors.SubscriptionUnchanged("The subscription has these terms already.")
    Terms.forget_pending(subscription)
    subscription.save()
    return asked.record(subscription, Kind.PLAN_KEPT, terms, effective_at=now)


def _schedule(subscription: Subscription, terms: Terms, asked: Asked) -> Done:
    if terms == Terms.pending(subscription):
        raise errors.SubscriptionUnchanged("The subscription gets these terms with its next period already.")
    if subscription.next_grant_at is None:
        raise errors.SubscriptionUnchanged("The subscription has no next period.")
    terms.schedule_on(subscription)
    subscription.save()
    return asked.record(subscription, Kind.PLAN_LATER, terms, effective_at=subscription.next_grant_at)


def _begin_at(subscription: Subscription, anchor: dt.datetime) -> None:
    """Count periods from here; the database writes the first one when the subscription is brought up to date."""
    end = months_after(anchor, MONTHS[BillingInterval(subscription.billing_interval)])
    subscription.anchor_at = subscription.current_period_start = anchor
    subscription.months_elapsed = 0
    subscription.current_period_end = min(end, subscription.ends_at or end)


def _next_grant_at(subscription: Subscription) -> dt.datetime | None:
    ends_at = subscription.ends_at
    return (
        None if ends_at is not None and ends_at <= subscription.current_period_end else subscription.current_period_end
    )
