"""Pages about credits: read-only lists, packages, and the views by which staff change a balance or its terms."""

from ledger.admin.auto_reloads import AutoReloadAdmin
from ledger.admin.balances import BalanceAdmin
from ledger.admin.entries import EntryAdmin
from ledger.admin.grants import GrantAdmin
from ledger.admin.holds import HoldAdmin
from ledger.admin.packages import TopUpPackageAdmin
from ledger.admin.payments import PaymentAdmin
from ledger.admin.subscriptions import SubscriptionAdmin, SubscriptionChangeAdmin
from ledger.admin.terms_changes import TermsChangeAdmin

__all__ = [
    "AutoReloadAdmin",
    "BalanceAdmin",
    "EntryAdmin",
    "GrantAdmin",
    "HoldAdmin",
    "PaymentAdmin",
    "SubscriptionAdmin",
    "SubscriptionChangeAdmin",
    "TermsChangeAdmin",
    "TopUpPackageAdmin",
]
