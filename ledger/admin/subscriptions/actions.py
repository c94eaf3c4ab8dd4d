"""Starting, changing, pausing, resuming and canceling a customer's subscription: each is one recorded change."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from decimal import Decimal
from typing import Any, ClassVar

from django.db.models import Model
from django.urls import reverse
from django.utils import timezone

from accounts.models import Subscription, SubscriptionStatus, User
from config.backoffice.credits import NOTHING, shown
from config.backoffice.once_form import OnceForm, ReasonForm
from config.backoffice.staff_action import Lines
from config.backoffice.times import shown_at
from ledger.admin.ledger_action import LedgerAction
from ledger.forms.subscriptions import CancelForm, ChangePlanForm, StartForm
from ledger.models import Grant, SubscriptionChange, SubscriptionChangeKind
from ledger.selectors import balance_of
from ledger.services.subscriptions import actions
from ledger.services.subscriptions.changes import Done
from ledger.services.subscriptions.renewals import current_subscription_of


def description_of(change: SubscriptionChange) -> str:
    """Return a short description of a change."""
    plan = f"{change.plan} ({change.get_billing_interval_display().lower()})"
    match change.kind:
        case SubscriptionChangeKind.START:
            return f"Started a subscription to {plan}"
        case SubscriptionChangeKind.UPGRADE:
            return f"Upgraded to {plan}, with {shown(change.credits)} credits for the rest of the period"
        case SubscriptionChangeKind.PLAN_LATER:
            return f"Changed the plan to {plan} from {shown_at(change.effective_at)}"
        case SubscriptionChangeKind.CANCEL_LATER:
            return f"Canceled the subscription to {shown_at(change.effective_at)}"
    return f"{change.get_kind_display()}: {plan}"


class SubscriptionAction(LedgerAction[Done]):
    """One action of staff on a customer's subscription; `name` distinguishes its page from the others."""

    form_class: ClassVar[type[OnceForm]] = ReasonForm

    @classmethod
    @abstractmethod
    def suits(cls, subscription: Subscription | None) -> bool:
        """Return whether the action fits the state of the subscription: the link is shown then."""

    @classmethod
    def url(cls, target: User) -> str:
        return reverse("admin:accounts_user_subscription", args=[target.pk, cls.name])

    def subscription(self) -> Subscription | None:
        return current_subscription_of(user_id=self.target.pk, now=timezone.now())

    def figures(self) -> Lines:
        subscription = self.subscription()
        available = ("Available", shown(balance_of(user_id=self.target.pk).available))
        if subscription is None:
            return [available, ("Plan", NOTHING)]
        return [
            available,
            ("Plan", str(subscription.plan)),
            ("State", subscription.get_status_display()),
            ("Period ends", shown_at(subscription.current_period_end)),
        ]

    def preview_outcome(self, perform: Callable[[], Done]) -> tuple[Done, Lines]:
        customer, subscription = self.target.pk, self.subscription()
        plan = NOTHING if subscription is None else _plan_of(subscription)
        before = balance_of(user_id=customer).available
        latest = Grant.objects.of(customer).newest_first().values_list("pk", flat=True).first() or 0
        done = perform()
        return done, [("Plan now", plan), *_consequences(done, latest, before, balance_of(user_id=customer).available)]

    def history(self, done: Done) -> list[tuple[Model, str]]:
        change = done.change
        return [
            (change, f"{description_of(change)}: {change.note}"),
            # Staff who may see people see their history, which therefore has no plans and reasons.
            (self.target, f"{self.title}: change of subscription {change.pk}."),
        ]

    def summary(self, done: Done) -> str:
        return description_of(done.change)


class Start(SubscriptionAction):
    name, permission, title = "start", "accounts.start_subscription", "Start subscription"
    form_class = StartForm

    @classmethod
    def suits(cls, subscription: Subscription | None) -> bool:
        return subscription is None

    def perform(self, asked: dict[str, Any], **once: Any) -> Done:
        return actions.start_subscription(
            plan=asked["plan"], interval=asked["interval"], ends_at=asked["last_day"], note=asked["note"], **once
        )


class ChangePlan(SubscriptionAction):
    name, permission, title = "plan", "accounts.change_plan_subscription", "Change plan"
    form_class = ChangePlanForm

    @classmethod
    def suits(cls, subscription: Subscription | None) -> bool:
        return _is_running(subscription)

    def initial(self) -> dict[str, Any]:
        subscription = self.subscription()
        if subscription is None:
            return {}
        return {"plan": subscription.plan_id, "interval": subscription.billing_interval}

    def perform(self, asked: dict[str, Any], **once: Any) -> Done:
        return actions.change_plan(
            plan=asked["plan"], interval=asked["interval"], at_period_end=asked["at_period_end"], note=asked["note"],
            **once,
        )  # fmt: skip


class Pause(SubscriptionAction):
    name, permission, title = "pause", "accounts.pause_subscription", "Pause"

    @classmethod
    def suits(cls, subscription: Subscription | None) -> bool:
        return _is_running(subscription)

    def perform(self, asked: dict[str, Any], **once: Any) -> Done:
        return actions.pause_subscription(note=asked["note"], **once)


class Resume(SubscriptionAction):
    name, permission, title = "resume", "accounts.pause_subscription", "Resume"

    @classmethod
    def suits(cls, subscription: Subscription | None) -> bool:
        return subscription is not None and (
            subscription.status == SubscriptionStatus.PAUSED or subscription.cancel_at_period_end
        )

    def perform(self, asked: dict[str, Any], **once: Any) -> Done:
        return actions.resume_subscription(note=asked["note"], **once)


class Cancel(SubscriptionAction):
    name, permission, title = "cancel", "accounts.cancel_subscription", "Cancel subscription"
    is_dangerous = True
    form_class = CancelForm

    @classmethod
    def suits(cls, subscription: Subscription | None) -> bool:
        return subscription is not None

    def perform(self, asked: dict[str, Any], **once: Any) -> Done:
        return actions.cancel_subscription(at_once=asked["at_once"], note=asked["note"], **once)


ACTIONS: dict[str, type[SubscriptionAction]] = {
    action.name: action for action in (Start, ChangePlan, Pause, Resume, Cancel)
}


def actions_that_suit(subscription: Subscription | None) -> list[type[SubscriptionAction]]:
    """Return the actions that the state of a customer's subscription allows."""
    return [action for action in ACTIONS.values() if action.suits(subscription)]


def _consequences(done: Done, latest_grant: int, before: Decimal, after: Decimal) -> Lines:
    change, subscription = done.change, done.change.subscription
    lines = [("What", description_of(change)), ("Plan after", _plan_of(subscription))]
    for grant in Grant.objects.of(subscription.user_id).filter(pk__gt=latest_grant, expired=0).order_by("pk"):
        until = "that stay" if grant.expires_at is None else f"until {shown_at(grant.expires_at)}"
        lines.append(("Credits now", f"{shown(grant.amount)} {until}"))
    coming = subscription.credits_per_period if subscription.pending_credits is None else subscription.pending_credits
    coming_at = subscription.next_grant_at
    return [
        *lines,
        ("Credits next", NOTHING if coming_at is None else f"{shown(coming)} on {shown_at(coming_at)}"),
        ("Available now", shown(before)),
        ("Available after", shown(after)),
    ]


def _plan_of(subscription: Subscription) -> str:
    interval, status = subscription.get_billing_interval_display(), subscription.get_status_display()
    return f"{subscription.plan} ({interval.lower()}), {status.lower()}"


def _is_running(subscription: Subscription | None) -> bool:
    return (
        subscription is not None
        and subscription.anchor_at is not None
        and subscription.status == SubscriptionStatus.ACTIVE
        and not subscription.cancel_at_period_end
    )
