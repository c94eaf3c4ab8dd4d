"""What an entry belongs to: a hold, a payment, a period of a subscription; and which entries took it back."""

from __future__ import annotations

import datetime as dt

from ledger.models import Entry, EntryReason, Hold, Payment, SubscriptionPeriod
from ledger.selectors import our_metadata

MOST_REVERSALS = 100
SYSTEM_OPERATIONS = frozenset({"payment_reversal", "subscription", "expire_grant", "correct_drift"})
SERVICE_OPERATIONS = frozenset({"charge", "capture_hold", "refund", "record_lines", "record_events"})


def hold_of(entry: Entry, *, now: dt.datetime) -> Hold | None:
    """Return the hold that an entry captured, with its `status_now` and `settled_at_now`."""
    if entry.reason != EntryReason.CAPTURE:
        return None
    holds = Hold.objects.of(entry.user_id).as_of(now).defer("fingerprint")
    return holds.filter(pk=our_metadata(entry, "hold_id")).first()


def payment_of(entry: Entry) -> Payment | None:
    """Return the payment that brought the credits of an entry, or for which it took them back."""
    if entry.operation not in {"payment", "payment_reversal"}:
        return None
    payments = Payment.objects.of(entry.user_id).select_related("package").defer("fingerprint")
    return payments.filter(pk=entry.metadata.get("payment_id")).first()


def period_of(entry: Entry) -> SubscriptionPeriod | None:
    """Return the period of a subscription that brought the credits of an entry, or in which an upgrade did."""
    if entry.operation != "subscription":
        return None
    subscription_id = int(entry.idempotency_key.partition(":")[0])
    began = entry.metadata.get("period_start")
    at = entry.created_at if began is None else dt.datetime.fromisoformat(began)
    periods = SubscriptionPeriod.objects.filter(
        user_id=entry.user_id, subscription_id=subscription_id, starts_at__lte=at
    )
    return periods.select_related("plan").order_by("-starts_at").first()


def reversals_of(entry: Entry) -> list[int]:
    """Return the ids of the entries that took this one back, or gave it back: the first MOST_REVERSALS of them."""
    ids = Entry.objects.filter(reverses_id=entry.pk).order_by("pk").values_list("pk", flat=True)
    return list(ids[:MOST_REVERSALS])


def made_by(entry: Entry) -> str:
    """Return who made an entry: `customer`, `service`, `staff` or `system`."""
    if entry.actor_id is not None:
        return "staff"
    if entry.operation in SERVICE_OPERATIONS:
        return "service"
    if entry.operation == "payment":
        return "system" if entry.reason == EntryReason.AUTO_RELOAD else "customer"
    return "system" if entry.operation in SYSTEM_OPERATIONS else "staff"
