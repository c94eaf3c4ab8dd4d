"""Freezing a customer's balance and setting its overdraft limit: a form, a preview, a confirmation, one record."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.views.decorators.http import require_http_methods

from accounts.admin.touching import demand_touch
from accounts.models import User
from config.backoffice.credits import NOTHING, shown
from config.backoffice.links import page_url
from config.backoffice.record import actor_id, record_change
from ledger.errors import IdempotencyKeyReused, LedgerRefusal
from ledger.forms.adjustments import DAMAGED, FreezingForm, OnceForm, OverdraftForm, new_form_key
from ledger.models import TermsChange, TermsKind
from ledger.selectors import CreditBalance, SpendingTerms, balance_of, terms_of
from ledger.services.controls import Changed, freeze_balance, set_overdraft_limit, unfreeze_balance

PREVIEW, CONFIRM = "preview", "confirm"  # the form's buttons; any other one leads back to it
Lines = list[tuple[str, str]]


class TermsAction(ABC):
    """One thing that staff may do to the terms of a balance."""

    permission: ClassVar[str]
    form: ClassVar[type[OnceForm]]

    @abstractmethod
    def initial(self, terms: SpendingTerms) -> dict[str, Any]:
        """Say what the form begins with."""

    @abstractmethod
    def title(self, form: OnceForm) -> str:
        """Name what this form does."""

    @abstractmethod
    def do(self, asked: dict[str, Any], **named: Any) -> Changed:
        """Do it, under the form's key."""

    @abstractmethod
    def lines(self, before: SpendingTerms, after: SpendingTerms, credits: CreditBalance) -> Lines:
        """Tell what confirming would change."""


class Freezing(TermsAction):
    permission = "ledger.freeze_balance"
    form = FreezingForm

    def initial(self, terms: SpendingTerms) -> dict[str, Any]:
        return {"frozen": "yes" if terms.frozen_at is None else "no"}

    def title(self, form: OnceForm) -> str:
        return "Unfreeze balance" if form["frozen"].value() == "no" else "Freeze balance"

    def do(self, asked: dict[str, Any], **named: Any) -> Changed:
        return (freeze_balance if asked["frozen"] else unfreeze_balance)(note=asked["note"], **named)

    def lines(self, before: SpendingTerms, after: SpendingTerms, credits: CreditBalance) -> Lines:
        return [
            ("Spending now", self._said(before)),
            ("Spending after", self._said(after)),
            ("Available", shown(credits.available)),
        ]

    def _said(self, terms: SpendingTerms) -> str:
        return "allowed" if terms.frozen_at is None else "frozen"


class Overdraft(TermsAction):
    permission = "ledger.set_overdraft"
    form = OverdraftForm

    def initial(self, terms: SpendingTerms) -> dict[str, Any]:
        return {"limit": terms.overdraft_limit}

    def title(self, form: OnceForm) -> str:  # noqa: ARG002
        return "Set overdraft limit"

    def do(self, asked: dict[str, Any], **named: Any) -> Changed:
        return set_overdraft_limit(limit=asked["limit"], note=asked["note"], **named)

    def lines(self, before: SpendingTerms, after: SpendingTerms, credits: CreditBalance) -> Lines:
        return [
            ("Limit now", shown(before.overdraft_limit)),
            ("Limit after", shown(after.overdraft_limit)),
            ("Available", shown(credits.available)),
            ("May be spent after", shown(credits.available + after.overdraft_limit)),
        ]


def said_of(change: TermsChange) -> str:
    """Tell in a few words what a change did."""
    match change.kind:
        case TermsKind.FREEZE:
            return "Froze the balance"
        case TermsKind.UNFREEZE:
            return "Unfroze the balance"
    return f"Set the overdraft limit from {shown(change.limit_before)} to {shown(change.limit_after)}"


@require_http_methods(["GET", "HEAD", "POST"])
def change_terms_view(
    request: HttpRequest, *, action: TermsAction, customer: User | None, site: AdminSite
) -> HttpResponse:
    """Show the form, then what it would do, then do it once.

    :raises PermissionDenied: to whoever may not do this, or not to this customer
    :raises Http404: if there is no such customer
    """
    if not request.user.has_perm(action.permission):
        raise PermissionDenied
    if customer is None:
        raise Http404
    demand_touch(request, customer)
    if request.method != "POST":
        return _page(request, action, customer, site, _first_form(action, customer))
    form = action.form(request.POST)
    if "frozen" in form.errors:  # nobody types that: begin anew
        return _page(request, action, customer, site, _first_form(action, customer), refusal=DAMAGED)
    return _take(request, action, customer, site, form)


def _take(request: HttpRequest, action: TermsAction, customer: User, site: AdminSite, form: OnceForm) -> HttpResponse:
    """Do what the pressed button says, or show the form again."""
    step = request.POST.get("step")
    if not form.is_valid():
        # A form without a good key could be sent twice: it gets a new one, and what was typed stays.
        return _page(request, action, customer, site, form, new_key="form_key" in form.errors)
    if step not in (PREVIEW, CONFIRM):
        return _page(request, action, customer, site, action.form(initial=form.data.dict()))  # type: ignore[attr-defined]
    try:
        if step == PREVIEW:
            return _show_preview(request, action, customer, site, form)
        return _done(request, customer, _post(request, action, customer, form))
    except LedgerRefusal as refusal:
        return _refused(request, action, customer, site, form, refusal)


def _first_form(action: TermsAction, customer: User) -> OnceForm:
    return action.form(initial={"form_key": new_form_key(), **action.initial(terms_of(user_id=customer.pk))})


def _do(request: HttpRequest, action: TermsAction, customer: User, form: OnceForm) -> Changed:
    named = {"user_id": customer.pk, "actor_id": actor_id(request), "idempotency_key": form.idempotency_key()}
    return action.do(form.cleaned_data, **named)


@transaction.atomic
def _post(request: HttpRequest, action: TermsAction, customer: User, form: OnceForm) -> Changed:
    """Change the terms, and note in the record of staff who did and why."""
    changed = _do(request, action, customer, form)
    if not changed.is_replay:
        change = changed.change
        record_change(request, [change], f"{said_of(change)}: {change.note}")
        # Whoever may see people sees their history, and not for that reason limits and reasons.
        record_change(request, [customer], f"{change.get_kind_display()}: change of terms {change.pk}.")
    return changed


@transaction.atomic
def _foresee(request: HttpRequest, action: TermsAction, customer: User, form: OnceForm) -> Lines | Changed:
    """Ask the ledger itself what would happen, and take it back: what it would refuse, it refuses here already.

    Answers with the change if this very form has made it before.
    """
    before = terms_of(user_id=customer.pk)
    changed = _do(request, action, customer, form)
    after, credits = terms_of(user_id=customer.pk), balance_of(user_id=customer.pk)
    transaction.set_rollback(True)
    return changed if changed.is_replay else action.lines(before, after, credits)


def _show_preview(
    request: HttpRequest, action: TermsAction, customer: User, site: AdminSite, form: OnceForm
) -> HttpResponse:
    foreseen = _foresee(request, action, customer, form)
    if isinstance(foreseen, Changed):
        return _done(request, customer, foreseen)
    return _page(request, action, customer, site, form, preview=foreseen)


def _refused(
    request: HttpRequest, action: TermsAction, customer: User, site: AdminSite, form: OnceForm, refusal: LedgerRefusal
) -> HttpResponse:
    """Show the form again under the ledger's own sentence; nothing was changed."""
    if isinstance(refusal, IdempotencyKeyReused):
        sentence = "This form has already made another change. To make this one as well, send it again."
        return _page(request, action, customer, site, form, refusal=sentence, new_key=True)
    return _page(request, action, customer, site, form, refusal=f"Nothing was changed. {refusal}")


def _done(request: HttpRequest, customer: User, changed: Changed) -> HttpResponse:
    """Say what was changed, on a page that reloading changes nothing from."""
    said = said_of(changed.change)
    if changed.is_replay:
        messages.warning(request, f"This form was sent before ({said}); nothing was changed again.")
    else:
        messages.success(request, f"{said}.")
    may_see = request.user.has_perm("accounts.view_user") or request.user.has_perm("accounts.change_user")
    return HttpResponseRedirect(page_url("accounts_user", customer.pk) if may_see else request.path)


def _page(
    request: HttpRequest,
    action: TermsAction,
    customer: User,
    site: AdminSite,
    form: OnceForm,
    *,
    preview: Lines | None = None,
    refusal: str = "",
    new_key: bool = False,
) -> HttpResponse:
    credits, terms = balance_of(user_id=customer.pk), terms_of(user_id=customer.pk)
    context = {
        **site.each_context(request),
        "title": action.title(form),
        "subtitle": str(customer),
        "opts": User._meta,
        "customer": customer,
        "form": form,
        "form_key": new_form_key() if new_key else form["form_key"].value(),
        "preview": preview,
        "refusal": refusal,
        "figures": [
            ("Available", shown(credits.available)),
            ("Overdraft limit", shown(terms.overdraft_limit)),
            ("Frozen since", NOTHING if terms.frozen_at is None else f"{terms.frozen_at:%Y-%m-%d %H:%M}"),
        ],
    }
    return TemplateResponse(request, "admin/ledger/change_terms.html", context)
