"""What came of an attempt to adjust: a request with its entry, or a refusal with a sentence for staff."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from ledger import adjustment_errors, errors
from ledger.models import AdjustmentRequest, Entry
from ledger.services.entries import refusal_of

_WHY_NOT_REVERSIBLE = {
    "reversal": "This entry reverses another one itself: adjust the credits instead.",
    "expiry": "Credits that expired have no grant to return to: give new ones by an adjustment.",
    "payment": "These credits were paid for: refund the payment, which takes them back.",
    "subscription": "These credits came with a period of a subscription: end their grant early instead.",
    "drift": "This entry puts a drift of the balance right: adjust the credits instead.",
}


class AdjustmentOutcome(NamedTuple):
    """A request, its entry unless it has none (yet), and whether this call made it or an earlier one."""

    request: AdjustmentRequest
    entry: Entry | None
    is_replay: bool


def outcome_of(found: Any, *, amount: Decimal | None) -> AdjustmentOutcome:
    """Read what an SQL function returned.

    :raises LedgerRefusal: what was refused
    """
    refusal = refusal_in(found, amount=amount)
    if refusal is not None:
        raise refusal
    request = AdjustmentRequest.objects.select_related("user", "author", "decided_by").get(pk=found.request_id)
    entry = None if request.entry_id is None else Entry.objects.get(pk=request.entry_id)
    return AdjustmentOutcome(request, entry, is_replay=found.outcome == "replayed")


def refusal_in(found: Any, *, amount: Decimal | None) -> errors.LedgerRefusal | None:
    """Return the refusal that an SQL function reports; None if it did what was asked."""
    match found.outcome:
        case "insufficient" if found.reason == "frozen":
            return adjustment_errors.BalanceFrozen()
        case "insufficient":
            return refusal_of(found, required=-(amount or Decimal(0)))
        case "not_reversible":
            return adjustment_errors.EntryNotReversible(_WHY_NOT_REVERSIBLE[found.reason])
        case "exceeds":
            return adjustment_errors.ReversalExceedsEntry(found.available)
    refusal = _REFUSALS.get(found.outcome)
    return None if refusal is None else refusal()


_REFUSALS: dict[str, type[errors.IdempotencyKeyReused | adjustment_errors.AdjustmentRefusal]] = {
    "key_reused": errors.IdempotencyKeyReused,
    "not_found": adjustment_errors.AdjustmentNotFound,
    "decided": adjustment_errors.AdjustmentDecided,
    "own_request": adjustment_errors.SecondPersonRequired,
    "own_account": adjustment_errors.OwnAccountAdjusted,
    "unsettled": adjustment_errors.GrantsUnsettled,
}
