"""How much: what each customer has, every change of it, and what is set aside."""

from ledger.models.balance import Balance
from ledger.models.entry import AdjustmentReason, Entry, EntryReason, EntryType
from ledger.models.hold import Hold, HoldStatus
from ledger.models.operation_key import OperationKey
from ledger.models.terms_change import TermsChange, TermsKind

__all__ = [
    "AdjustmentReason",
    "Balance",
    "Entry",
    "EntryReason",
    "EntryType",
    "Hold",
    "HoldStatus",
    "OperationKey",
    "TermsChange",
    "TermsKind",
]
