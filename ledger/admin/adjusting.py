"""Adjusting a customer's credits: a form, a preview, a confirmation, one entry."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.utils.html import format_html
from django.views.decorators.http import require_http_methods

from accounts.admin.touching import demand_touch
from accounts.models import User
from config.backoffice.credits import shown, shown_signed
from config.backoffice.links import page_link, page_url
from config.backoffice.record import actor_id, record_change
from ledger.errors import IdempotencyKeyReused, LedgerRefusal
from ledger.forms.adjustments import AdjustmentForm, new_form_key
from ledger.models import AdjustmentReason, Entry
from ledger.selectors import balance_of
from ledger.services.adjustments import adjust_credits
from ledger.services.entries import Posted

PERMISSION = "ledger.adjust_credits"
PREVIEW, CONFIRM = "preview", "confirm"  # the form's buttons; any other one leads back to it


@dataclass(frozen=True)
class Preview:
    """What confirming would do, in credits."""

    balance_now: Decimal
    change: Decimal
    balance_after: Decimal
    available_after: Decimal

    def lines(self) -> list[tuple[str, str]]:
        return [
            ("Balance now", shown(self.balance_now)),
            ("Change", shown_signed(self.change)),
            ("Balance after", shown(self.balance_after)),
            ("Available after", shown(self.available_after)),
        ]


@require_http_methods(["GET", "HEAD", "POST"])
def adjust_credits_view(request: HttpRequest, *, customer: User | None, site: AdminSite) -> HttpResponse:
    """Show the form, then what it would do, then do it once.

    :raises PermissionDenied: to whoever may not adjust credits, or not this customer's
    :raises Http404: if there is no such customer
    """
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    if customer is None:
        raise Http404
    demand_touch(request, customer)
    if request.method != "POST":
        return _page(request, customer, site, AdjustmentForm(initial={"form_key": new_form_key()}))
    form = AdjustmentForm(request.POST)
    step = request.POST.get("step")
    if not form.is_valid():
        # A form without a good key could be sent twice: it gets a new one, and what was typed stays.
        return _page(request, customer, site, form, new_key="form_key" in form.errors)
    if step not in (PREVIEW, CONFIRM):
        return _page(request, customer, site, AdjustmentForm(initial=form.data.dict()))  # type: ignore[attr-defined]
    try:
        if step == PREVIEW:
            return _show_preview(request, customer, site, form)
        posted = _post(request, customer, form)
    except LedgerRefusal as refusal:
        return _refused(request, customer, site, form, refusal)
    return _done(request, customer, posted)


def _adjust(request: HttpRequest, customer: User, form: AdjustmentForm) -> Posted:
    return adjust_credits(
        user_id=customer.pk,
        amount=form.cleaned_data["amount"],
        reason=AdjustmentReason(form.cleaned_data["reason"]),
        note=form.cleaned_data["note"],
        actor_id=actor_id(request),
        idempotency_key=form.idempotency_key(),
    )


@transaction.atomic
def _post(request: HttpRequest, customer: User, form: AdjustmentForm) -> Posted:
    """Post the entry, and note in the record of staff who did."""
    posted = _adjust(request, customer, form)
    if not posted.is_replay:
        entry = posted.entry
        message = f"Adjusted credits by {shown_signed(entry.amount)} ({entry.reason}): entry {entry.pk}."
        record_change(request, [entry], message)
        # Whoever may see people sees their history, and not for that reason amounts.
        record_change(request, [customer], f"Adjusted credits: entry {entry.pk}.")
    return posted


@transaction.atomic
def _foresee(request: HttpRequest, customer: User, form: AdjustmentForm) -> Preview | Entry:
    """Ask the ledger itself what would happen, and take it back: what it would refuse, it refuses here already.

    Answers with the entry if this very form has posted it before.
    """
    posted = _adjust(request, customer, form)
    after = balance_of(user_id=customer.pk)
    transaction.set_rollback(True)
    if posted.is_replay:
        return posted.entry
    change = posted.entry.amount
    return Preview(after.balance - change, change, after.balance, after.available)


def _show_preview(request: HttpRequest, customer: User, site: AdminSite, form: AdjustmentForm) -> HttpResponse:
    foreseen = _foresee(request, customer, form)
    if isinstance(foreseen, Entry):
        return _done(request, customer, Posted(foreseen, is_replay=True))
    return _page(request, customer, site, form, preview=foreseen)


def _refused(
    request: HttpRequest, customer: User, site: AdminSite, form: AdjustmentForm, refusal: LedgerRefusal
) -> HttpResponse:
    """Show the form again under the ledger's own sentence; nothing was posted."""
    if isinstance(refusal, IdempotencyKeyReused):
        sentence = "This form has already posted another adjustment. To post this one as well, send it again."
        return _page(request, customer, site, form, refusal=sentence, new_key=True)
    return _page(request, customer, site, form, refusal=f"Nothing was posted. {refusal}")


def _done(request: HttpRequest, customer: User, posted: Posted) -> HttpResponse:
    """Say what was posted, on a page that reloading posts nothing from."""
    entry = posted.entry
    named: Any = f"entry {entry.pk}"
    if request.user.has_perm("ledger.view_entry"):
        named = page_link("ledger_entry", entry.pk, named)
    balance = f"{shown_signed(entry.amount)} credits, balance after it {shown(entry.balance_after)}"
    if posted.is_replay:
        messages.warning(
            request, format_html("This form was already posted as {} ({}); nothing was posted again.", named, balance)
        )
    else:
        messages.success(request, format_html("Credits adjusted: {} ({}).", named, balance))
    may_see = request.user.has_perm("accounts.view_user") or request.user.has_perm("accounts.change_user")
    return HttpResponseRedirect(page_url("accounts_user", customer.pk) if may_see else request.path)


def _page(
    request: HttpRequest,
    customer: User,
    site: AdminSite,
    form: AdjustmentForm,
    *,
    preview: Preview | None = None,
    refusal: str = "",
    new_key: bool = False,
) -> HttpResponse:
    credits = balance_of(user_id=customer.pk)
    context = {
        **site.each_context(request),
        "title": "Adjust credits",
        "subtitle": str(customer),
        "opts": User._meta,
        "customer": customer,
        "form": form,
        "form_key": new_form_key() if new_key else form["form_key"].value(),
        "preview": preview,
        "reason_label": AdjustmentReason(form.cleaned_data["reason"]).label if preview else "",
        "refusal": refusal,
        "balance": shown(credits.balance),
        "reserved": shown(credits.reserved),
        "available": shown(credits.available),
    }
    return TemplateResponse(request, "admin/ledger/adjust_credits.html", context)
