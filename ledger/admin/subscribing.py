"""Starting, changing, pausing, resuming and canceling subscriptions: a form, a preview, a confirmation, one record."""

from __future__ import annotations

import datetime as dt
from abc import ABC, abstractmethod
from decimal import Decimal
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.admin.touching import demand_touch, may_touch
from accounts.models import Subscription, SubscriptionStatus, User
from config.backoffice.credits import NOTHING, shown
from config.backoffice.links import page_url
from config.backoffice.record import actor_id, record_change
from ledger.errors import IdempotencyKeyReused, LedgerRefusal
from ledger.forms.adjustments import OnceForm, new_form_key
from ledger.forms.subscriptions import CancelForm, ChangePlanForm, NoteForm, StartForm
from ledger.models import Grant, SubscriptionChange, SubscriptionChangeKind
from ledger.selectors import balance_of
from ledger.services.subscriptions import actions
from ledger.services.subscriptions.changes import Done
from ledger.services.subscriptions.renewals import current_subscription_of

PREVIEW, CONFIRM = "preview", "confirm"  # the form's buttons; any other one leads back to it
Lines = list[tuple[str, str]]


class SubscriptionAction(ABC):
    """One thing that staff may do to a customer's subscription."""

    permission: ClassVar[str]
    title: ClassVar[str]
    form: ClassVar[type[OnceForm]] = NoteForm

    @abstractmethod
    def fits(self, subscription: Subscription | None) -> bool:
        """Tell whether there is anything to do so to: the button is shown then."""

    @abstractmethod
    def do(self, asked: dict[str, Any], **named: Any) -> Done:
        """Do it, under the form's key."""

    def initial(self, subscription: Subscription | None) -> dict[str, Any]:  # noqa: ARG002
        """Say what the form begins with."""
        return {}


class Starting(SubscriptionAction):
    permission, title, form = "accounts.start_subscription", "Start subscription", StartForm

    def fits(self, subscription: Subscription | None) -> bool:
        return subscription is None

    def do(self, asked: dict[str, Any], **named: Any) -> Done:
        return actions.start_subscription(
            plan=asked["plan"], interval=asked["interval"], ends_at=asked["last_day"], note=asked["note"], **named
        )


class ChangingPlan(SubscriptionAction):
    permission, title, form = "accounts.change_plan_subscription", "Change plan", ChangePlanForm

    def fits(self, subscription: Subscription | None) -> bool:
        return _goes_on(subscription)

    def do(self, asked: dict[str, Any], **named: Any) -> Done:
        return actions.change_plan(
            plan=asked["plan"], interval=asked["interval"], at_period_end=asked["at_period_end"], note=asked["note"],
            **named,
        )  # fmt: skip

    def initial(self, subscription: Subscription | None) -> dict[str, Any]:
        if subscription is None:
            return {}
        return {"plan": subscription.plan_id, "interval": subscription.billing_interval}


class Pausing(SubscriptionAction):
    permission, title = "accounts.pause_subscription", "Pause"

    def fits(self, subscription: Subscription | None) -> bool:
        return _goes_on(subscription)

    def do(self, asked: dict[str, Any], **named: Any) -> Done:
        return actions.pause_subscription(note=asked["note"], **named)


class Resuming(SubscriptionAction):
    permission, title = "accounts.pause_subscription", "Resume"

    def fits(self, subscription: Subscription | None) -> bool:
        return subscription is not None and (
            subscription.status == SubscriptionStatus.PAUSED or subscription.cancel_at_period_end
        )

    def do(self, asked: dict[str, Any], **named: Any) -> Done:
        return actions.resume_subscription(note=asked["note"], **named)


class Canceling(SubscriptionAction):
    permission, title, form = "accounts.cancel_subscription", "Cancel subscription", CancelForm

    def fits(self, subscription: Subscription | None) -> bool:
        return subscription is not None

    def do(self, asked: dict[str, Any], **named: Any) -> Done:
        return actions.cancel_subscription(at_once=asked["at_once"], note=asked["note"], **named)


ACTIONS: dict[str, SubscriptionAction] = {
    "start": Starting(), "plan": ChangingPlan(), "pause": Pausing(), "resume": Resuming(), "cancel": Canceling(),
}  # fmt: skip


def actions_for(subscription: Subscription | None, viewer: Any, customer: User) -> list[tuple[str, str]]:
    """Name what this person may do to a customer's subscription now, and under which titles."""
    if not may_touch(viewer, customer):
        return []
    return [
        (name, action.title)
        for name, action in ACTIONS.items()
        if viewer.has_perm(action.permission) and action.fits(subscription)
    ]


def said_of(change: SubscriptionChange) -> str:
    """Tell in a few words what a change did."""
    plan = f"{change.plan} ({change.get_billing_interval_display().lower()})"
    match change.kind:
        case SubscriptionChangeKind.START:
            return f"Started a subscription to {plan}"
        case SubscriptionChangeKind.UPGRADE:
            return f"Upgraded to {plan}, with {shown(change.credits)} credits for the rest of the period"
        case SubscriptionChangeKind.PLAN_LATER:
            return f"Changed the plan to {plan} from {_shown_at(change.effective_at)}"
        case SubscriptionChangeKind.CANCEL_LATER:
            return f"Canceled the subscription to {_shown_at(change.effective_at)}"
    return f"{change.get_kind_display()}: {plan}"


@require_http_methods(["GET", "HEAD", "POST"])
def subscription_view(request: HttpRequest, *, name: str, customer: User | None, site: AdminSite) -> HttpResponse:
    """Show the form, then what it would do, then do it once.

    :raises PermissionDenied: to whoever may not do this, or not to this customer
    :raises Http404: if there is no such customer, or nothing of this name
    """
    action = ACTIONS.get(name)
    if action is None:
        raise Http404
    if not request.user.has_perm(action.permission):
        raise PermissionDenied
    if customer is None:
        raise Http404
    demand_touch(request, customer)
    return _Page(request, action, customer, site).answer()


class _Page:
    """One action's page for one customer, and what was sent to it."""

    def __init__(self, request: HttpRequest, action: SubscriptionAction, customer: User, site: AdminSite) -> None:
        self.request, self.action, self.customer, self.site = request, action, customer, site

    def answer(self) -> HttpResponse:
        if self.request.method != "POST":
            subscription = current_subscription_of(user_id=self.customer.pk, now=timezone.now())
            first = {"form_key": new_form_key(), **self.action.initial(subscription)}
            return self._page(self.action.form(initial=first))
        form = self.action.form(self.request.POST)
        step = self.request.POST.get("step")
        if not form.is_valid():
            # A form without a good key could be sent twice: it gets a new one, and what was typed stays.
            return self._page(form, new_key="form_key" in form.errors)
        if step not in (PREVIEW, CONFIRM):
            return self._page(self.action.form(initial=form.data.dict()))  # type: ignore[attr-defined]
        try:
            found = self._foreseen(form) if step == PREVIEW else self._done(form)
        except LedgerRefusal as refusal:
            if isinstance(refusal, IdempotencyKeyReused):
                sentence = "This form has already made another change. To make this one as well, send it again."
                return self._page(form, refusal=sentence, new_key=True)
            return self._page(form, refusal=f"Nothing was changed. {refusal}")
        return self._said(found) if isinstance(found, Done) else self._page(form, preview=found)

    def _do(self, form: OnceForm) -> Done:
        named = {"user_id": self.customer.pk, "actor_id": actor_id(self.request)}
        return self.action.do(form.cleaned_data, idempotency_key=form.idempotency_key(), **named)

    @transaction.atomic
    def _done(self, form: OnceForm) -> Done:
        """Do it, and note in the record of staff who did and why."""
        done = self._do(form)
        if not done.is_replay:
            change = done.change
            record_change(self.request, [change], f"{said_of(change)}: {change.note}")
            # Whoever may see people sees their history, and not for that reason plans and reasons.
            record_change(self.request, [self.customer], f"{self.action.title}: change of subscription {change.pk}.")
        return done

    @transaction.atomic
    def _foreseen(self, form: OnceForm) -> Lines | Done:
        """Do it and take it back: what would be refused is refused here already, and the figures are exact.

        Answers with the change if this very form has made it before.
        """
        before = balance_of(user_id=self.customer.pk)
        latest = Grant.objects.of(self.customer.pk).newest_first().values_list("pk", flat=True).first() or 0
        done = self._do(form)
        lines = _lines(done, latest, before.available, balance_of(user_id=self.customer.pk).available)
        transaction.set_rollback(True)
        return done if done.is_replay else lines

    def _said(self, done: Done) -> HttpResponse:
        """Say what was done, on a page that reloading changes nothing from."""
        said = said_of(done.change)
        if done.is_replay:
            messages.warning(self.request, f"This form was sent before ({said}); nothing was changed again.")
        else:
            messages.success(self.request, f"{said}.")
        viewer = self.request.user
        may_see = viewer.has_perm("accounts.view_user") or viewer.has_perm("accounts.change_user")
        return HttpResponseRedirect(
            page_url("accounts_user", self.customer.pk) if may_see else f"{self.request.path}?done"
        )

    def _page(
        self, form: OnceForm, *, preview: Lines | None = None, refusal: str = "", new_key: bool = False
    ) -> HttpResponse:
        subscription = current_subscription_of(user_id=self.customer.pk, now=timezone.now())
        context = {
            **self.site.each_context(self.request),
            "title": self.action.title,
            "subtitle": str(self.customer),
            "opts": User._meta,
            "customer": self.customer,
            "form": form,
            "form_key": new_form_key() if new_key else form["form_key"].value(),
            "preview": preview,
            "refusal": refusal,
            "figures": _figures(subscription, balance_of(user_id=self.customer.pk).available),
        }
        return TemplateResponse(self.request, "admin/ledger/change_terms.html", context)


def _figures(subscription: Subscription | None, available: Decimal) -> Lines:
    figures = [("Available", shown(available))]
    if subscription is None:
        return [*figures, ("Plan", NOTHING)]
    return [
        *figures,
        ("Plan", str(subscription.plan)),
        ("State", subscription.get_status_display()),
        ("Period ends", _shown_at(subscription.current_period_end)),
    ]


def _lines(done: Done, latest_grant: int, before: Decimal, after: Decimal) -> Lines:
    change, subscription = done.change, done.change.subscription
    lines = [("What", said_of(change)), ("State after", subscription.get_status_display())]
    for grant in Grant.objects.of(subscription.user_id).filter(pk__gt=latest_grant, expired=0).order_by("pk"):
        until = "that stay" if grant.expires_at is None else f"until {_shown_at(grant.expires_at)}"
        lines.append(("Credits now", f"{shown(grant.amount)} {until}"))
    coming = subscription.credits_per_period if subscription.pending_credits is None else subscription.pending_credits
    coming_at = subscription.next_grant_at
    return [
        *lines,
        ("Credits next", NOTHING if coming_at is None else f"{shown(coming)} on {_shown_at(coming_at)}"),
        ("Available now", shown(before)),
        ("Available after", shown(after)),
    ]


def _goes_on(subscription: Subscription | None) -> bool:
    return (
        subscription is not None
        and subscription.anchor_at is not None
        and subscription.status == SubscriptionStatus.ACTIVE
        and not subscription.cancel_at_period_end
    )


def _shown_at(moment: dt.datetime) -> str:
    return f"{moment.astimezone(dt.UTC):%Y-%m-%d %H:%M}"
