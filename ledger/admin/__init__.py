"""Pages about credits: read-only lists, packages, and the actions by which staff change a balance or its terms."""

from ledger.admin.adjustments.requests import AdjustmentRequestAdmin
from ledger.admin.adjustments.roles import LimitedRoleAdmin
from ledger.admin.auto_reload.agreements import AutoReloadAdmin
from ledger.admin.credits.balances import BalanceAdmin
from ledger.admin.credits.grants import GrantAdmin
from ledger.admin.credits.holds import HoldAdmin
from ledger.admin.finders import FINDERS
from ledger.admin.payments.packages import TopUpPackageAdmin
from ledger.admin.payments.payments import PaymentAdmin
from ledger.admin.payments.refunds import StaffRefundAdmin
from ledger.admin.subscriptions.subscriptions import SubscriptionAdmin, SubscriptionChangeAdmin
from ledger.admin.terms.changes import TermsChangeAdmin
from ledger.admin.to_do import TO_DOS

__all__ = [
    "FINDERS",
    "TO_DOS",
    "AdjustmentRequestAdmin",
    "AutoReloadAdmin",
    "BalanceAdmin",
    "GrantAdmin",
    "HoldAdmin",
    "LimitedRoleAdmin",
    "PaymentAdmin",
    "StaffRefundAdmin",
    "SubscriptionAdmin",
    "SubscriptionChangeAdmin",
    "TermsChangeAdmin",
    "TopUpPackageAdmin",
]
