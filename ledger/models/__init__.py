"""Credits: what each customer has, every change of it, and what is set aside."""

from ledger.models.adjustment import (
    AdjustmentDay,
    AdjustmentLimit,
    AdjustmentLine,
    AdjustmentRequest,
    AdjustmentState,
    LineOutcome,
    SecondPersonBecause,
)
from ledger.models.anchor import Anchor, AnchorPlace
from ledger.models.auto_reload import AutoReload, AutoReloadEvent, OffReason, ReloadEventKind
from ledger.models.balance import Balance
from ledger.models.dispute import (
    OPEN_DISPUTES,
    DisputeMessage,
    EntryDispute,
    EntryDisputeReason,
    EntryDisputeState,
)
from ledger.models.entry import AdjustmentReason, Entry, EntryReason, EntryType
from ledger.models.grant import Grant, GrantCategory, GrantDraw, GrantProgress, GrantStatus
from ledger.models.grant_terms_change import GrantTermsChange, GrantTermsKind
from ledger.models.hold import Hold, HoldStatus
from ledger.models.operation_key import OperationKey
from ledger.models.package import TopUpPackage
from ledger.models.payment import (
    OPEN_STATES,
    DisputeStatus,
    OutcomeSource,
    Payment,
    PaymentDispute,
    PaymentKind,
    PaymentOutcome,
    PaymentRefund,
    PaymentState,
)
from ledger.models.payment_method import CardSaving, PaymentCustomer, PaymentMethod
from ledger.models.staff_refund import RefundState, StaffRefund
from ledger.models.subscription import SubscriptionChange, SubscriptionChangeKind, SubscriptionPeriod
from ledger.models.terms_change import TermsChange, TermsKind
from ledger.models.threshold import Threshold

__all__ = [
    "OPEN_DISPUTES",
    "OPEN_STATES",
    "AdjustmentDay",
    "AdjustmentLimit",
    "AdjustmentLine",
    "AdjustmentReason",
    "AdjustmentRequest",
    "AdjustmentState",
    "Anchor",
    "AnchorPlace",
    "AutoReload",
    "AutoReloadEvent",
    "Balance",
    "CardSaving",
    "DisputeMessage",
    "DisputeStatus",
    "Entry",
    "EntryDispute",
    "EntryDisputeReason",
    "EntryDisputeState",
    "EntryReason",
    "EntryType",
    "Grant",
    "GrantCategory",
    "GrantDraw",
    "GrantProgress",
    "GrantStatus",
    "GrantTermsChange",
    "GrantTermsKind",
    "Hold",
    "HoldStatus",
    "LineOutcome",
    "OffReason",
    "OperationKey",
    "OutcomeSource",
    "Payment",
    "PaymentCustomer",
    "PaymentDispute",
    "PaymentKind",
    "PaymentMethod",
    "PaymentOutcome",
    "PaymentRefund",
    "PaymentState",
    "RefundState",
    "ReloadEventKind",
    "SecondPersonBecause",
    "StaffRefund",
    "SubscriptionChange",
    "SubscriptionChangeKind",
    "SubscriptionPeriod",
    "TermsChange",
    "TermsKind",
    "Threshold",
    "TopUpPackage",
]
