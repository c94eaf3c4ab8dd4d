"""What the one search finds of the ledger: entries, holds, payments."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from django.db.models import Q, QuerySet

from config.backoffice.credits import shown, shown_signed
from config.backoffice.search.finders import MOST_READ, Finder, Hit, Term, hit, register_finders
from config.backoffice.times import shown_at
from config.values.money import shown_money
from ledger.admin.credits.named import MOST_CUSTOMERS, entries_named, holds_named, payments_named
from ledger.models import Entry, Hold, Payment
from ledger.providers.registry import PROVIDERS


def find_entries(term: Term) -> Sequence[Hit]:
    """Find entries by id, reference (a payment's, a request's) or idempotency key."""
    named = _named(entries_named, term)
    return [
        hit(
            entry, f"Entry {entry.pk}", entry.user, shown_signed(entry.amount), entry.get_reason_display(),
            shown_at(entry.created_at), entry.reference,
        )
        for entry in _rows(Entry.objects.all(), term, named)
    ]  # fmt: skip


def find_holds(term: Term) -> Sequence[Hit]:
    """Find holds by id or idempotency key."""
    named = _named(holds_named, term)
    return [
        hit(hold, f"Hold {hold.pk}", hold.user, shown(hold.credits), hold.get_status_display(), hold.reference)
        for hold in _rows(Hold.objects.all(), term, named)
    ]


def find_payments(term: Term) -> Sequence[Hit]:
    """Find payments by id, by the provider's ids or our key at the provider, or by idempotency key."""
    named = Q(pk__in=_named(payments_named, term))
    # With the provider: the unique indexes begin with it.
    named |= Q(provider__in=list(PROVIDERS), provider_payment_id=term.text)
    named |= Q(provider__in=list(PROVIDERS), checkout_id=term.text)
    if term.uuid is not None:
        named |= Q(provider_key=term.uuid)
    if term.id is not None:
        named |= Q(pk=term.id)
    payments = _of(Payment.objects.filter(named), term).select_related("user").order_by("-pk")[:MOST_READ]
    return [
        hit(
            payment, f"Payment {payment.pk}", payment.user, shown_money(payment.amount_minor, payment.currency),
            payment.get_state_display(), shown_at(payment.created_at), payment.provider_payment_id,
        )
        for payment in payments
    ]  # fmt: skip


_BOUND = f"beyond the {MOST_CUSTOMERS:,} newest customers"

FINDERS = (
    Finder(
        kind="Entries",
        word="entry",
        permission="ledger.view_entry",
        find=find_entries,
        by="Id, reference (a payment’s id, a request’s id or reference), idempotency key. A charge has its entry’s id.",
        limits=f"references and keys of charges {_BOUND}; other idempotency keys before the latest 100,000 entries.",
    ),
    Finder(
        kind="Holds",
        word="hold",
        permission="ledger.view_hold",
        find=find_holds,
        by="Id, idempotency key.",
        limits=f"idempotency keys {_BOUND}.",
    ),
    Finder(
        kind="Payments",
        word="payment",
        permission="ledger.view_payment",
        find=find_payments,
        by="Id, the provider’s payment or checkout id, our key at the provider, idempotency key.",
        limits=f"idempotency keys {_BOUND}.",
    ),
)


def _named(look_up: Callable[..., list[int]], term: Term) -> list[int]:
    return [] if term.is_only_id else look_up(term.text, customers=term.customers, most=MOST_READ)


def _rows(rows: QuerySet[Any], term: Term, named: list[int]) -> QuerySet[Any]:
    """Return the rows with these ids, or with the term's, newest first."""
    wanted = named if term.id is None else [*named, term.id]
    if not wanted:
        return rows.none()
    return _of(rows.filter(pk__in=wanted), term).select_related("user").order_by("-pk")[:MOST_READ]


def _of(rows: QuerySet[Any], term: Term) -> QuerySet[Any]:
    return rows if term.customers is None else rows.filter(user_id__in=term.customers)


register_finders(*FINDERS)
