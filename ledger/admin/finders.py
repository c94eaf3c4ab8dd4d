"""What the one search finds of the ledger: entries, holds, payments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db.models import Q, QuerySet, Subquery
from django.db.models.functions import Coalesce

from config.backoffice.credits import shown, shown_signed
from config.backoffice.exact_search import LATEST
from config.backoffice.search.finders import MOST_READ, Finder, Hit, Term, hit, register_finders
from config.backoffice.times import shown_at
from config.values.money import shown_money
from ledger.admin.credits.named import MOST_CUSTOMERS, Named, named
from ledger.models import AdjustmentRequest, Entry, EntryDispute, Hold, Payment, StaffRefund
from ledger.providers.registry import PROVIDERS


def find_entries(term: Term) -> Sequence[Hit]:
    """Find entries by id, reference (a payment's, a request's) or idempotency key."""
    return [
        hit(
            entry, f"Entry {entry.pk}", entry.user, shown_signed(entry.amount), entry.get_reason_display(),
            shown_at(entry.created_at), entry.reference,
        )
        for entry in _rows(Entry.objects.all(), term, _named(term).entry)
    ]  # fmt: skip


def find_holds(term: Term) -> Sequence[Hit]:
    """Find holds by id or idempotency key."""
    return [
        hit(hold, f"Hold {hold.pk}", hold.user, shown(hold.credits), hold.get_status_display(), hold.reference)
        for hold in _rows(Hold.objects.all(), term, _named(term).hold)
    ]


def find_payments(term: Term) -> Sequence[Hit]:
    """Find payments by id, by the provider's ids or our key at the provider, or by idempotency key."""
    wanted = Q(pk__in=_named(term).payment)
    # With the provider: the unique indexes begin with it.
    wanted |= Q(provider__in=list(PROVIDERS), provider_payment_id=term.text)
    wanted |= Q(provider__in=list(PROVIDERS), checkout_id=term.text)
    if term.uuid is not None:
        wanted |= Q(provider_key=term.uuid)
    if term.id is not None:
        wanted |= Q(pk=term.id)
    payments = _of(Payment.objects.filter(wanted), term).select_related("user").order_by("-pk")[:MOST_READ]
    return [
        hit(
            payment, f"Payment {payment.pk}", payment.user, shown_money(payment.amount_minor, payment.currency),
            payment.get_state_display(), shown_at(payment.created_at), payment.provider_payment_id,
        )
        for payment in payments
    ]  # fmt: skip


def find_adjustments(term: Term) -> Sequence[Hit]:
    """Find adjustments that staff asked for by id, or by reference among the latest."""
    named = Q(reference=term.text, pk__gt=_beginning_of_latest(AdjustmentRequest))
    requests = _of(AdjustmentRequest.objects.filter(_or_id(named, term)), term).select_related("user", "author")
    return [
        hit(
            request, f"Adjustment request {request.pk}", request.user or request.file_name,
            "" if request.amount is None else shown_signed(request.amount), request.get_state_display(),
            f"by {request.author}", request.reference,
        )
        for request in requests.order_by("-pk")[:MOST_READ]
    ]  # fmt: skip


def find_refunds(term: Term) -> Sequence[Hit]:
    """Find refunds by staff by id, by our key at the provider, or among the latest by the provider's id."""
    named = Q(provider_refund_id=term.text, pk__gt=_beginning_of_latest(StaffRefund))
    if term.uuid is not None:
        named |= Q(provider_key=term.uuid)
    refunds = _of(StaffRefund.objects.filter(_or_id(named, term)), term).select_related("user", "payment")
    return [
        hit(refund, f"Refund {refund.pk}", refund.user, f"of payment {refund.payment_id}", refund.get_state_display(),
            shown_at(refund.created_at), refund.provider_refund_id)
        for refund in refunds.order_by("-pk")[:MOST_READ]
    ]  # fmt: skip


def find_disputes(term: Term) -> Sequence[Hit]:
    """Find a customer's dispute by id."""
    return [
        hit(dispute, f"Dispute {dispute.pk}", dispute.user, f"of entry {dispute.entry_id}", dispute.get_state_display())
        for dispute in _rows(EntryDispute.objects.all(), term, [])
    ]


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
    Finder(
        kind="Adjustment requests",
        word="adjustment",
        permission="ledger.view_adjustmentrequest",
        find=find_adjustments,
        by="Id; reference.",
        limits=f"references before the latest {LATEST:,} requests.",
    ),
    Finder(
        kind="Disputes",
        word="dispute",
        permission="ledger.view_entrydispute",
        find=find_disputes,
        by="Id.",
    ),
    Finder(
        kind="Refunds by staff",
        word="refund",
        permission="ledger.view_staffrefund",
        find=find_refunds,
        by="Id, the provider’s refund id, our key at the provider.",
        limits=f"the provider’s ids before the latest {LATEST:,} refunds.",
    ),
)


def _named(term: Term) -> Named:
    """Return what the term names, looked up once for all of these finders."""
    if term.is_only_id:
        return Named()
    return term.once("ledger", lambda: named(term.text, customers=term.customers, most=MOST_READ))


def _rows(rows: QuerySet[Any], term: Term, ids: list[int]) -> QuerySet[Any]:
    """Return the rows with these ids, or with the term's, newest first."""
    wanted = ids if term.id is None else [*ids, term.id]
    if not wanted:
        return rows.none()
    return _of(rows.filter(pk__in=wanted), term).select_related("user").order_by("-pk")[:MOST_READ]


def _or_id(named: Q, term: Term) -> Q:
    if term.id is None:
        return named
    return Q(pk=term.id) if term.is_only_id else named | Q(pk=term.id)


def _beginning_of_latest(model: Any) -> Any:
    """Return the id before the latest rows of a table, as an expression of the query that reads them."""
    newest = model.objects.order_by("-pk").values("pk")[:1]
    return Coalesce(Subquery(newest), 0) - LATEST


def _of(rows: QuerySet[Any], term: Term) -> QuerySet[Any]:
    return rows if term.customers is None else rows.filter(user_id__in=term.customers)


register_finders(*FINDERS)
