"""The overview of one customer, as far as this member of staff may see it, for the head of the customer's page."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from django.utils import timezone

from accounts.admin.keys.api_keys import status_of
from accounts.models import ApiKey, Subscription, User
from config.backoffice.credits import shown, shown_signed
from config.backoffice.links import list_url, page_url
from config.backoffice.staff_action import Links
from config.backoffice.times import shown_at
from ledger.admin.subscriptions.actions import links_for
from ledger.models import Entry, Hold, HoldStatus
from ledger.selectors import balance_of, terms_of
from ledger.services.subscriptions.renewals import current_subscription_of

ROWS = 10
_LISTS = (
    ("usage.view_requestlog", "usage_requestlog", "Requests"),
    ("ledger.view_entry", "ledger_entry", "Entries"),
    ("ledger.view_hold", "ledger_hold", "Holds"),
    ("ledger.view_payment", "ledger_payment", "Payments"),
    ("ledger.view_staffrefund", "ledger_staffrefund", "Refunds by staff"),
    ("ledger.view_autoreload", "ledger_autoreload", "Auto-reload"),
    ("ledger.view_grant", "ledger_grant", "Grants"),
    ("ledger.view_termschange", "ledger_termschange", "Changes of terms"),
    ("usage.view_alert", "usage_alert", "Alerts"),
    ("usage.view_importedcustomer", "usage_importedcustomer", "Names in logs"),
    ("accounts.view_apikey", "accounts_apikey", "API keys"),
    ("accounts.view_subscription", "accounts_subscription", "Subscriptions"),
    ("ledger.view_subscriptionchange", "ledger_subscriptionchange", "Changes of subscriptions"),
    ("config.view_staffrecord", "config_staffrecord", "Staff log"),
)


@dataclass
class Overview:
    """Figures, tables and links; what this member of staff may not see is None or absent."""

    actions: Links
    figures: list[tuple[str, str]] | None = None
    tables: list[Table] = field(default_factory=list)
    subscription: Subscription | None = None
    subscription_actions: Links = field(default_factory=list)
    links: list[tuple[str, str]] = field(default_factory=list)


@dataclass
class Table:
    """A few rows of one kind: each is the address of a link, followed by the cells."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[str, tuple[Any, ...]]]
    all_url: str
    numeric: tuple[int, ...] = ()
    none: str = "None."


def overview_of(customer: User, *, viewer: Any, actions: Links) -> Overview:
    """Read the overview, one statement for each part."""
    overview = Overview(actions)
    if viewer.has_perm("ledger.view_balance"):
        overview.figures = _figures(customer)
    if viewer.has_perm("ledger.view_entry"):
        overview.tables.append(_entries(customer))
    if viewer.has_perm("ledger.view_hold"):
        overview.tables.append(_open_holds(customer))
    if viewer.has_perm("accounts.view_apikey"):
        overview.tables.append(_keys(customer))
    if viewer.has_perm("accounts.view_subscription"):
        overview.subscription = current_subscription_of(user_id=customer.pk, now=timezone.now())
        overview.subscription_actions = links_for(overview.subscription, viewer, customer)
    overview.links = [
        (title, list_url(model, user=customer.pk)) for permission, model, title in _LISTS if viewer.has_perm(permission)
    ]
    return overview


def _figures(customer: User) -> list[tuple[str, str]]:
    """Return the usual figures, and those of the others that are not at their default."""
    credits, terms = balance_of(user_id=customer.pk), terms_of(user_id=customer.pk)
    figures = [
        ("Available", shown(credits.available)),
        ("Balance", shown(credits.balance)),
        ("Reserved", shown(credits.reserved)),
    ]
    if terms.owed:
        figures.append(("Owed", shown(terms.owed)))
    if terms.overdraft_limit:
        figures.append(("Overdraft limit", shown(terms.overdraft_limit)))
    if terms.frozen_at is not None:
        figures.append(("Frozen since", shown_at(terms.frozen_at)))
    return figures


def _entries(customer: User) -> Table:
    entries = Entry.objects.of(customer.pk).newest_first()[:ROWS]
    return Table(
        "Latest entries",
        ("#", "When", "Why", "Amount", "Balance after", "Description"),
        [
            (
                page_url("ledger_entry", entry.pk),
                (
                    entry.seq, shown_at(entry.created_at), entry.get_reason_display(), shown_signed(entry.amount),
                    shown(entry.balance_after), entry.description,
                ),
            )
            for entry in entries
        ],
        list_url("ledger_entry", user=customer.pk),
        numeric=(3, 4),
        none="No entries yet.",
    )  # fmt: skip


def _open_holds(customer: User) -> Table:
    open_now = Hold.objects.filter(user_id=customer.pk, status=HoldStatus.OPEN, expires_at__gt=timezone.now())
    return Table(
        "Open holds",
        ("Hold", "Credits left", "Expires", "Reference"),
        [
            (
                page_url("ledger_hold", hold.pk),
                (hold.pk, shown(hold.credits - hold.captured), shown_at(hold.expires_at), hold.reference),
            )
            for hold in open_now.order_by("expires_at")[:ROWS]
        ],
        list_url("ledger_hold", user=customer.pk, status__exact=HoldStatus.OPEN.value),
        numeric=(1,),
        none="No open holds.",
    )


def _keys(customer: User) -> Table:
    now = timezone.now()
    keys = ApiKey.objects.select_related("user").filter(user_id=customer.pk).order_by("-id")[:ROWS]
    return Table(
        "API keys",
        ("Key", "Name", "Status", "Last used"),
        [
            (page_url("accounts_apikey", key.pk), (str(key), key.name, status_of(key, now), shown_at(key.last_used_at)))
            for key in keys
        ],
        list_url("accounts_apikey", user=customer.pk),
        none="No keys.",
    )
