"""Why an entry was made, in one sentence for the customer and for staff."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import TYPE_CHECKING

from config.values.credits import plain
from config.values.money import shown_money
from ledger.models import EntryReason

if TYPE_CHECKING:
    from usage.services.explanations.explanation import Explanation


def sentence_of(found: Explanation) -> str:
    """Return why the entry was made, as its reason has it."""
    return f"{SENTENCES[EntryReason(found.entry.reason)](found).rstrip('.')}."


def credits_text(amount: Decimal) -> str:
    """Return an amount without its sign: `1 credit`, `2.5 credits`."""
    number = f"{plain(abs(amount)):f}"
    return "1 credit" if number == "1" else f"{number} credits"


def _usage(found: Explanation) -> str:
    entry, requests, paid = found.entry, found.requests, credits_text(found.entry.amount)
    if requests is None:
        return f"{paid} were used: {entry.description}."
    if requests.count > 1 or entry.operation in {"record_lines", "record_events"}:
        several = "one request" if requests.count == 1 else f"{requests.count:,} requests"
        return f"{paid} for {several} that {entry.metadata['source']} reported, charged together."
    if not requests.items:
        return f"{paid} for one request of {entry.description}; the log of its month is no longer kept."
    log = requests.items[0]
    called = f"{log.method} {log.path}".strip()
    return f"{paid} for one request of {entry.description} ({called}), which ended with status {log.status}."


def _capture(found: Explanation) -> str:
    if found.hold is None:
        return _usage(found)
    held = credits_text(found.hold.credits)
    return f"{_usage(found)[:-1]}; hold {found.hold.pk} had set {held} aside for it."


def _purchase(found: Explanation) -> str:
    brought = credits_text(found.entry.amount)
    if found.payment is None:
        return f"{brought} were purchased; the sale was recorded by hand."
    price = shown_money(found.payment.amount_minor, found.payment.currency)
    return f"{brought} were bought for {price} by payment {found.payment.pk}."


def _reload(found: Explanation) -> str:
    if found.payment is None:
        return f"{credits_text(found.entry.amount)} were bought by auto-reload."
    price = shown_money(found.payment.amount_minor, found.payment.currency)
    return (
        f"Auto-reload bought {credits_text(found.entry.amount)} for {price} by payment {found.payment.pk}, "
        "since fewer than its threshold were available."
    )


def _grant(found: Explanation) -> str:
    brought, period = credits_text(found.entry.amount), found.period
    if period is None:
        return f"{brought} were granted: {found.entry.description}."
    days = f"{period.starts_at:%Y-%m-%d} to {period.ends_at:%Y-%m-%d}"
    if found.entry.metadata.get("period_start") is None:
        return f"{brought} came with an upgrade to {period.plan.name} within the period {days}."
    kept = ", and stay longer than it" if found.entry.idempotency_key.endswith(":rolls-over") else ""
    return f"{brought} came with the period {days} of {period.plan.name}{kept}."


def _refund(found: Explanation) -> str:
    returned = credits_text(found.entry.amount)
    return f"{returned} of debit {found.entry.reverses_id} were refunded: {found.entry.description}."


def _reversal(found: Explanation) -> str:
    returned = credits_text(found.entry.amount)
    return f"{returned} of debit {found.entry.reverses_id} were given back by staff: {found.entry.description}."


def _expiry(found: Explanation) -> str:
    grant = found.entry.metadata.get("grant_id")
    return f"{credits_text(found.entry.amount)} of grant {grant} expired: they were not spent by its end."


def _by_hand(what: str) -> Callable[[Explanation], str]:
    def said(found: Explanation) -> str:
        entry = found.entry
        verb = "added" if entry.amount > 0 else "taken back"
        linked = "" if entry.reverses_id is None else f" for entry {entry.reverses_id}"
        return f"{credits_text(entry.amount)} were {verb}{linked} as {what}: {entry.description}."

    return said


def _chargeback(found: Explanation) -> str:
    entry, payment = found.entry, found.payment
    if payment is None:
        return _by_hand("a chargeback")(found)
    if entry.amount > 0:
        return f"{credits_text(entry.amount)} of payment {payment.pk} were returned: its money came back."
    why = "disputed at the customer's bank" if entry.description == "Payment disputed" else "refunded"
    return f"{credits_text(entry.amount)} were taken back, since payment {payment.pk} was {why}."


SENTENCES: dict[EntryReason, Callable[[Explanation], str]] = {
    EntryReason.PURCHASE: _purchase,
    EntryReason.GRANT: _grant,
    EntryReason.AUTO_RELOAD: _reload,
    EntryReason.USAGE: _usage,
    EntryReason.CAPTURE: _capture,
    EntryReason.REFUND: _refund,
    EntryReason.REVERSAL: _reversal,
    EntryReason.EXPIRY: _expiry,
    EntryReason.GOODWILL: _by_hand("goodwill"),
    EntryReason.CORRECTION: _by_hand("a correction"),
    EntryReason.CHARGEBACK: _chargeback,
}
