"""Auto-reload of customers, to be looked at with all that happened, and a button that switches it off."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.db.models import Q
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from accounts.admin.touching import demand_touch, may_touch
from config.backoffice.credits import NOTHING, shown
from config.backoffice.exact_search import ExactSearch
from config.backoffice.filters import CustomerFilter, as_id
from config.backoffice.links import page_link, page_url
from config.backoffice.read_only import ReadOnlyAdmin
from config.backoffice.record import actor_id, record_change
from config.values.money import shown_money
from ledger.forms.adjustments import SwitchOffForm, new_form_key
from ledger.models import AutoReload, AutoReloadEvent
from ledger.services.auto_reload.switching import Switched, switch_off_auto_reload

MAY_SWITCH_OFF = "ledger.switch_off_auto_reload"
EVENTS_SHOWN = 100


@admin.register(AutoReload)
class AutoReloadAdmin(ExactSearch, ReadOnlyAdmin):
    """One row a customer who has ever set terms; only they turn it on."""

    list_display = (
        "customer", "enabled", "off_reason", "shown_threshold", "buys", "shown_cap", "declines_in_a_row",
        "next_attempt_at", "updated_at",
    )  # fmt: skip
    list_display_links = ("enabled",)
    list_select_related = ("user",)
    list_filter = (CustomerFilter, "enabled", "off_reason")
    search_fields = ("user_id",)
    search_help_text = "The customer's email or id."
    ordering = ("-user_id",)
    fields = (
        "customer", "enabled", "off_reason", "turned_off_at", "shown_threshold", "buys", "shown_cap", "shown_price",
        "method", "consented_at", "sentence", "declines_in_a_row", "last_attempt_at", "next_attempt_at",
        "cap_reached_in", "created_at", "updated_at", "history",
    )  # fmt: skip

    def get_queryset(self, request: HttpRequest) -> Any:
        return super().get_queryset(request).select_related("user", "method")

    def wanted(self, term: str) -> Q:
        return super().wanted(term) if term.isascii() and term.isdigit() else Q(pk__in=[])

    def get_urls(self) -> list[URLPattern]:
        way = path(
            "<int:object_id>/switch-off/",
            self.admin_site.admin_view(self.switch_off_view),
            name="ledger_autoreload_switch_off",
        )
        return [way, *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **named: Any
    ) -> HttpResponse:
        reload = context.get("original")
        is_touchable = isinstance(reload, AutoReload) and may_touch(request.user, reload.user)
        context["may_switch_off"] = is_touchable and request.user.has_perm(MAY_SWITCH_OFF)
        return super().render_change_form(request, context, *args, **named)

    def switch_off_view(self, request: HttpRequest, object_id: int) -> HttpResponse:
        """Ask for a reason, then switch it off once."""
        if not (request.user.has_perm(MAY_SWITCH_OFF) and self.has_view_permission(request)):
            raise PermissionDenied
        reload = self.get_queryset(request).filter(pk=as_id(str(object_id))).first()
        if reload is None:
            raise Http404
        demand_touch(request, reload.user)
        form = SwitchOffForm(request.POST or None, initial={"form_key": new_form_key()})
        if request.method == "POST" and form.is_valid():
            _say(request, _switch_off(request, reload, form))
            return HttpResponseRedirect(page_url("ledger_autoreload", reload.pk))
        context = {
            **self.admin_site.each_context(request),
            "title": "Switch off auto-reload",
            "subtitle": str(reload.user),
            "opts": self.opts,
            "reload": reload,
            "form": form,
            # A form without a good key could be sent twice: it gets a new one, and what was typed stays.
            "form_key": new_form_key() if "form_key" in form.errors else form["form_key"].value(),
        }
        return TemplateResponse(request, "admin/ledger/autoreload/switch_off.html", context)

    @admin.display(description="customer")
    def customer(self, reload: AutoReload) -> SafeString:
        return page_link("accounts_user", reload.pk, reload.user)

    @admin.display(description="below")
    def shown_threshold(self, reload: AutoReload) -> str:
        return NOTHING if reload.threshold is None else shown(reload.threshold)

    @admin.display(description="buys")
    def buys(self, reload: AutoReload) -> str:
        if reload.target is not None:
            return f"up to {shown(reload.target)}"
        return NOTHING if reload.amount is None else shown(reload.amount)

    @admin.display(description="monthly cap")
    def shown_cap(self, reload: AutoReload) -> str:
        return _money(reload.monthly_cap_minor, reload.currency)

    @admin.display(description="price of 1,000 agreed to")
    def shown_price(self, reload: AutoReload) -> str:
        return _money(reload.price_minor, reload.currency)

    @admin.display(description="history")
    def history(self, reload: AutoReload) -> SafeString:
        events = AutoReloadEvent.objects.of(reload.pk).select_related("payment", "actor").newest_first()[:EVENTS_SHOWN]
        return format_html_join("", "<div>{}</div>", ((_line(event),) for event in events)) or SafeString(NOTHING)


def _money(minor: int | None, currency: str | None) -> str:
    return NOTHING if minor is None or currency is None else shown_money(minor, currency)


def _line(event: AutoReloadEvent) -> SafeString:
    """Say one event: when, what, by whom and why, or what became of the payment."""
    when = event.created_at.strftime("%Y-%m-%d %H:%M:%S")
    if event.payment is not None:
        paid = shown_money(event.payment.amount_minor, event.payment.currency)
        about = page_link("ledger_payment", event.payment_id, f"payment {event.payment_id}")
        state = event.payment.get_state_display().lower()
        return format_html("{} {}: {} for {} ({})", when, about, paid, shown(event.payment.credits), state)
    who = "" if event.actor is None else f" by {event.actor}"
    why = event.note or (event.get_reason_display() if event.reason else event.sentence) or ""
    return format_html("{} {}{}: {}", when, event.get_kind_display(), who, why)


@transaction.atomic
def _switch_off(request: HttpRequest, reload: AutoReload, form: SwitchOffForm) -> Switched:
    """Switch it off, and note in the record of staff who did and why."""
    note = form.cleaned_data["note"]
    switched = switch_off_auto_reload(
        user_id=reload.pk,
        actor_id=actor_id(request),
        note=note,
        idempotency_key=form.idempotency_key(),
        now=timezone.now(),
    )
    if switched.event is not None and not switched.is_replay:
        record_change(request, [reload], f"Switched auto-reload off: {note}")
        record_change(request, [reload.user], "Switched auto-reload off.")
    return switched


def _say(request: HttpRequest, switched: Switched) -> None:
    if switched.event is None:
        messages.info(request, "Auto-reload is off already; nothing was changed.")
    elif switched.is_replay:
        messages.warning(request, "This form was sent before; nothing was changed again.")
    else:
        messages.success(request, "Auto-reload is off, and the customer is told.")
