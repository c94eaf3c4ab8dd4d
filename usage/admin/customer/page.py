"""The customer page, as far as this member of staff may see it: one statement for each part."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db.models import Model

from accounts.models import User
from config.backoffice.links import list_url
from config.backoffice.staff_action import Links, StaffAction, links_to
from config.charts import Chart, by_day
from ledger.admin.auto_reload.switching_off import SwitchOff
from ledger.admin.subscriptions.actions import actions_that_suit
from ledger.selectors import balance_of
from ledger.services.subscriptions.renewals import current_subscription_of
from usage.admin.customer.standing import (
    Badge,
    Figure,
    Sentence,
    badges_of,
    budget_sentence,
    figures_of,
    reload_sentence,
    since_of,
    subscription_sentence,
    terms_in,
)
from usage.admin.customer.tables import (
    Table,
    disputes_table,
    grants_table,
    holds_table,
    keys_of,
    keys_table,
    payments_table,
)
from usage.admin.customer.timeline import SOURCES, Timeline, timeline_of
from usage.models import DailyUsage
from usage.services.forecasts.selectors import forecast_of

DAYS_SHOWN = 30
_LISTS = (
    ("usage.view_requestlog", "usage_requestlog", "Requests"),
    ("ledger.view_entry", "ledger_entry", "Entries"),
    ("ledger.view_hold", "ledger_hold", "Holds"),
    ("ledger.view_payment", "ledger_payment", "Payments"),
    ("ledger.view_staffrefund", "ledger_staffrefund", "Refunds by staff"),
    ("ledger.view_autoreload", "ledger_autoreload", "Auto-reload"),
    ("ledger.view_grant", "ledger_grant", "Grants"),
    ("ledger.view_adjustmentrequest", "ledger_adjustmentrequest", "Adjustments"),
    ("ledger.view_termschange", "ledger_termschange", "Changes of terms"),
    ("usage.view_alert", "usage_alert", "Alerts"),
    ("usage.view_importedcustomer", "usage_importedcustomer", "Names in logs"),
    ("accounts.view_apikey", "accounts_apikey", "API keys"),
    ("accounts.view_notice", "accounts_notice", "Notices"),
    ("accounts.view_subscription", "accounts_subscription", "Subscriptions"),
    ("ledger.view_subscriptionchange", "ledger_subscriptionchange", "Changes of subscriptions"),
    ("config.view_staffrecord", "config_staffrecord", "Staff log"),
)


@dataclass(frozen=True)
class Buttons:
    """What this member of staff may do now; the dangerous ones apart."""

    usual: Links = field(default_factory=list)
    dangerous: Links = field(default_factory=list)

    def offer(self, actions: Iterable[type[StaffAction[Any]]], viewer: Any, target: Model) -> None:
        """Add those of the actions that this member of staff may do to this object now."""
        for action in actions:
            links = self.dangerous if action.is_dangerous else self.usual
            links.extend(links_to((action,), viewer, target))


@dataclass
class CustomerPage:
    """Everything on the page; what the viewer may not see is empty."""

    since: str
    buttons: Buttons = field(default_factory=Buttons)
    badges: list[Badge] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    sentences: list[Sentence] = field(default_factory=list)
    chart: Chart | None = None
    tables: list[Table] = field(default_factory=list)
    timeline: Timeline | None = None
    lists: Links = field(default_factory=list)


def page_of(
    customer: User,
    *,
    viewer: Any,
    actions: Iterable[type[StaffAction[Any]]],
    now: dt.datetime,
    before: str = "",
) -> CustomerPage:
    """Read the page of a customer whom `CustomerAdmin.get_queryset` has read; `before` turns the timeline back."""
    may = viewer.has_perm
    page = CustomerPage(since=since_of(customer, now))
    page.buttons.offer(actions, viewer, customer)
    terms = terms_in(customer)
    page.badges = badges_of(customer, terms)
    if may("ledger.view_balance"):
        page.figures = figures_of(balance_of(user_id=customer.pk), terms, forecast_of(user_id=customer.pk, now=now))
    if may("accounts.view_subscription"):
        subscription = current_subscription_of(user_id=customer.pk, now=now)
        page.sentences.append(subscription_sentence(subscription))
        page.buttons.offer(actions_that_suit(subscription), viewer, customer)
    if may("ledger.view_autoreload"):
        reload = getattr(customer, "auto_reload", None)
        page.sentences.append(reload_sentence(reload))
        if reload is not None:
            page.buttons.offer((SwitchOff,), viewer, reload)
    if may("usage.view_requestlog"):
        page.chart = usage_chart(customer, now=now)
    _add_tables(page, customer, viewer, now)
    if any(may(source.permission) for source in SOURCES):
        page.timeline = timeline_of(customer, viewer=viewer, before=before)
    page.lists = [(list_url(model, user=customer.pk), title) for permission, model, title in _LISTS if may(permission)]
    return page


def _add_tables(page: CustomerPage, customer: User, viewer: Any, now: dt.datetime) -> None:
    may = viewer.has_perm
    if may("ledger.view_grant"):
        page.tables.append(grants_table(customer, now, viewer=viewer))
    if may("accounts.view_apikey"):
        keys = keys_of(customer, now=now)
        page.sentences.append(budget_sentence(customer, keys))
        page.tables.append(keys_table(customer, keys, now, viewer=viewer))
    if may("ledger.view_payment"):
        page.tables.append(payments_table(customer, now, viewer=viewer))
    if may("ledger.view_hold"):
        page.tables.append(holds_table(customer, now, viewer=viewer))
    if may("ledger.view_entrydispute"):
        page.tables.append(disputes_table(customer, viewer=viewer))


def usage_chart(customer: User, *, now: dt.datetime) -> Chart:
    """Return the credits of the last 30 days by endpoint, from the sums of each day."""
    today = now.astimezone(dt.UTC).date()
    first = today - dt.timedelta(days=DAYS_SHOWN - 1)
    sums = DailyUsage.objects.filter(user_id=customer.pk, day__gte=first, day__lte=today)
    groups: dict[str, dict[dt.date, Decimal]] = {}
    for endpoint, day, credits in sums.values_list("endpoint", "day", "credits"):
        groups.setdefault(endpoint, {})[day] = credits
    return by_day(
        title="Usage by endpoint", unit=settings.CREDIT_UNIT.lower(), first=first, last=today, groups=groups,
        empty="No usage in the last 30 days.",
    )  # fmt: skip
