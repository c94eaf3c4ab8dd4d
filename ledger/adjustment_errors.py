"""The ledger's refusals to adjust credits, to decide about a request, and to reverse an entry."""

from __future__ import annotations

from decimal import Decimal

from config.values.credits import plain
from ledger.errors import LedgerRefusal


class BalanceFrozen(LedgerRefusal):
    """Credits cannot be taken from a frozen balance by staff."""

    def __init__(self) -> None:
        super().__init__("The balance is frozen: nothing can be taken from it until it is unfrozen.")


class AdjustmentRefusal(LedgerRefusal):
    """Base of the refusals to decide a request for an adjustment; `sentence` is a class's own."""

    sentence = ""

    def __init__(self) -> None:
        super().__init__(self.sentence)


class AdjustmentNotFound(AdjustmentRefusal):
    sentence = "There is no such request or entry of this customer."


class AdjustmentDecided(AdjustmentRefusal):
    sentence = "This request was decided already; its page says by whom."


class SecondPersonRequired(AdjustmentRefusal):
    sentence = "The author can only withdraw a request; everybody else can only approve or reject it."


class OwnAccountAdjusted(AdjustmentRefusal):
    sentence = "It adjusts your own account: somebody else has to approve it."


class GrantsUnsettled(AdjustmentRefusal):
    sentence = "The customer's grants are still being settled. Try again in some minutes."


class EntryNotReversible(LedgerRefusal):
    """This kind of entry is not reversed by staff; the sentence says what to do instead."""


class ReversalExceedsEntry(LedgerRefusal):
    """More is asked than is left of an entry, or with its own sign; `left` is in credits."""

    def __init__(self, left: Decimal) -> None:
        super().__init__(f"Only {plain(left):f} credit(s) of this entry are left to reverse.")
        self.left = left


class AdjustmentFileRefused(LedgerRefusal):
    """This is no file of adjustments, or one of its lines cannot be posted; the sentence says why."""


class AdjustmentFileKnown(LedgerRefusal):
    """The lines of this file were sent before; `request_id` is the request that has them."""

    def __init__(self, request_id: int | None) -> None:
        named = "another request" if request_id is None else f"request {request_id}"
        super().__init__(f"These lines were sent before, as {named}.")
        self.request_id = request_id
