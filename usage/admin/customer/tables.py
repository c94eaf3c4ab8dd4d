"""A few rows of what belongs to a customer: grants, keys, open holds, payments; each table leads to the whole list.

Its last column has what this member of staff may do to each row, if there is anything.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from django.db.models import F

from accounts.admin.keys.api_keys import status_of
from accounts.admin.keys.revoking import RevokeKey
from accounts.models import ApiKey, User
from config.backoffice.credits import NOTHING, shown
from config.backoffice.links import list_url, page_url
from config.backoffice.staff_action import StaffAction, links_to
from config.backoffice.times import shown_at
from config.templatetags.times import ago
from config.values.money import shown_money
from ledger.admin.credits.grant_terms import EndGrant, ExtendGrant
from ledger.admin.credits.releasing import ReleaseHold
from ledger.admin.disputes.actions import AnswerDispute, ResolveDispute
from ledger.admin.payments.receipts import ResendReceipt
from ledger.admin.payments.refunding import RefundPayment
from ledger.admin.payments.settling import Settle
from ledger.models import EntryDispute, Grant, Hold, HoldStatus, Payment, PaymentState
from usage.selectors import with_spending

ROWS = 10


@dataclass(frozen=True)
class Cell:
    """One cell; `part` of `whole` is drawn as a bar where both are given, and `links` after the text."""

    text: str
    is_number: bool = False
    part: str = ""
    whole: str = ""
    url: str = ""
    links: Sequence[tuple[str, str]] = ()  # addresses and labels


@dataclass(frozen=True)
class Table:
    """Rows of one kind; `none` says what to do where there are none."""

    title: str
    columns: tuple[str, ...]
    rows: list[tuple[Cell, ...]]
    all_url: str
    none: str
    numeric: tuple[int, ...] = ()


def _number(text: str, part: str = "", whole: str = "") -> Cell:
    return Cell(text, is_number=True, part=part, whole=whole)


def keys_of(customer: User, *, now: dt.datetime) -> list[ApiKey]:
    """Return the newest keys with what those with a limit have spent, one statement."""
    keys = ApiKey.objects.select_related("user").filter(user_id=customer.pk)
    return list(with_spending(keys, now=now).order_by("-created_at", "-id")[:ROWS])


def keys_table(customer: User, keys: list[ApiKey], now: dt.datetime, *, viewer: Any) -> Table:
    table = Table(
        "API keys",
        ("Key", "Name", "State", "Last used", "Spent of its limit"),
        [_key(key, now) for key in keys],
        list_url("accounts_apikey", user=customer.pk),
        "No keys yet. The customer makes one at /auth/api-keys, or you issue one.",
        numeric=(4,),
    )
    return _with_actions(table, keys, (RevokeKey,), customer=customer, viewer=viewer)


def _key(key: Any, now: dt.datetime) -> tuple[Cell, ...]:
    limit = key.spending_limit
    return (
        Cell(str(key), url=page_url("accounts_apikey", key.pk)),
        Cell(key.name),
        Cell(status_of(key, now)),
        Cell(ago(key.last_used_at)),
        _number("no limit")
        if limit is None
        else _number(f"{shown(key.spent)} of {shown(limit)}", f"{key.spent:f}", f"{limit:f}"),
    )


def grants_table(customer: User, now: dt.datetime, *, viewer: Any) -> Table:
    """Return the grants that have credits left, in the order in which they are spent."""
    in_order = (F("priority"), F("expires_at").asc(nulls_last=True), "-category", "effective_at", "entry_id")
    left = list(Grant.objects.of(customer.pk).filter(remaining__gt=0).order_by(*in_order)[:ROWS])
    table = Table(
        "Grants with credits left",
        ("Grant", "Kind", "Left", "Of", "Ends"),
        [
            (
                Cell(str(grant.pk), url=page_url("ledger_grant", grant.pk)),
                Cell(grant.get_category_display()),
                _number(shown(grant.remaining), f"{grant.remaining:f}", f"{grant.amount:f}"),
                _number(shown(grant.amount)),
                Cell(_end_of(grant, now)),
            )
            for grant in left
        ],
        list_url("ledger_grant", user=customer.pk),
        "No grant has credits left. An adjustment, a payment or a subscription brings one.",
        numeric=(2, 3),
    )
    return _with_actions(table, left, (EndGrant, ExtendGrant), customer=customer, viewer=viewer)


def _end_of(grant: Grant, now: dt.datetime) -> str:
    if grant.expires_at is None:
        return "never"
    return ago(grant.expires_at) if grant.expires_at > now else f"ended {shown_at(grant.expires_at)}"


def holds_table(customer: User, now: dt.datetime, *, viewer: Any) -> Table:
    open_now = Hold.objects.filter(user_id=customer.pk, status=HoldStatus.OPEN, expires_at__gt=now)
    holds = list(open_now.order_by("expires_at")[:ROWS])
    table = Table(
        "Open holds",
        ("Hold", "Credits left", "Ends", "Reference"),
        [
            (
                Cell(str(hold.pk), url=page_url("ledger_hold", hold.pk)),
                _number(shown(hold.credits - hold.captured)),
                Cell(ago(hold.expires_at)),
                Cell(hold.reference or NOTHING),
            )
            for hold in holds
        ],
        list_url("ledger_hold", user=customer.pk, status__exact=HoldStatus.OPEN.value),
        "No open holds: nothing is reserved.",
        numeric=(1,),
    )
    return _with_actions(table, holds, (ReleaseHold,), customer=customer, viewer=viewer)


def disputes_table(customer: User, *, viewer: Any) -> Table:
    latest = list(EntryDispute.objects.of(customer.pk).defer("fingerprint").newest_first()[:ROWS])
    table = Table(
        "Disputes of debits",
        ("Dispute", "Opened", "Debit", "Reason", "State", "Returned"),
        [
            (
                Cell(str(dispute.pk), url=page_url("ledger_entrydispute", dispute.pk)),
                Cell(ago(dispute.created_at)),
                Cell(str(dispute.entry_id), url=page_url("ledger_entry", dispute.entry_id)),
                Cell(dispute.get_reason_display()),
                Cell(dispute.get_state_display()),
                _number(shown(dispute.credits_returned) if dispute.reversal_id else NOTHING),
            )
            for dispute in latest
        ],
        list_url("ledger_entrydispute", user=customer.pk),
        "No disputes: the customer has objected to no debit.",
        numeric=(5,),
    )
    return _with_actions(table, latest, (AnswerDispute, ResolveDispute), customer=customer, viewer=viewer)


def payments_table(customer: User, now: dt.datetime, *, viewer: Any) -> Table:
    latest = list(Payment.objects.of(customer.pk).newest_first()[:ROWS])
    table = Table(
        "Payments",
        ("Payment", "When", "Amount", "Credits", "State", "Next"),
        [
            (
                Cell(str(payment.pk), url=page_url("ledger_payment", payment.pk)),
                Cell(ago(payment.created_at)),
                _number(shown_money(payment.amount_minor, payment.currency)),
                _number(shown(payment.credits)),
                Cell(payment.get_state_display()),
                Cell(next_step(payment, now)),
            )
            for payment in latest
        ],
        list_url("ledger_payment", user=customer.pk),
        "No payments yet.",
        numeric=(2, 3),
    )
    return _with_actions(table, latest, (RefundPayment, Settle, ResendReceipt), customer=customer, viewer=viewer)


def next_step(payment: Payment, now: dt.datetime) -> str:
    """Return what happens next to a payment, and who has to do it."""
    match payment.state:
        case PaymentState.REQUIRES_ACTION:
            return f"The customer confirms it with their bank until {shown_at(payment.expires_at)}."
        case PaymentState.PENDING if payment.expires_at > now:
            return "The provider is asked again by a job."
        case PaymentState.PENDING:
            return "It ends with the next round of the payments job."
        case PaymentState.FAILED:
            return f"{payment.failure_message or payment.failure_code or 'Declined.'} The customer pays anew."
        case PaymentState.EXPIRED:
            return "Nothing: no money came. The customer pays anew."
    if payment.credits_owed:
        return f"{shown(payment.credits_owed)} credits are owed, and taken from what comes in."
    return (
        f"Refunded {shown_money(payment.refunded_minor, payment.currency)}." if payment.refunded_minor else "Nothing."
    )


def _with_actions(
    table: Table, rows: Sequence[Any], actions: tuple[type[StaffAction[Any]], ...], *, customer: User, viewer: Any
) -> Table:
    """Add a column with the actions that are offered for each row, if any is for one of them."""
    offered = []
    for row in rows:
        row.user = customer  # whose rows they are: asking for it costs no statement
        offered.append(links_to(actions, viewer, row))
    if not any(offered):
        return table
    with_links = [(*cells, Cell("", links=links)) for cells, links in zip(table.rows, offered, strict=True)]
    return replace(table, columns=(*table.columns, "Actions"), rows=with_links)
