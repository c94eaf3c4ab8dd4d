"""Pages about credits: read-only lists, and the one view by which staff change a balance."""

from ledger.admin.balances import BalanceAdmin
from ledger.admin.entries import EntryAdmin
from ledger.admin.holds import HoldAdmin

__all__ = ["BalanceAdmin", "EntryAdmin", "HoldAdmin"]
