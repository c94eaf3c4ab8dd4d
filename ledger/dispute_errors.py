"""The ledger's refusals of disputes: what customers cannot dispute, and what cannot be done to a dispute."""

from __future__ import annotations

from ledger.errors import LedgerRefusal


class EntryNotFound(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("You have no such ledger entry.")


class EntryNotDisputable(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("Only a debit can be disputed.")


class DisputeTooLate(LedgerRefusal):
    def __init__(self, *, days: int) -> None:
        super().__init__(f"A debit can be disputed within {days} days.")
        self.extra = {"days": days}


class DisputeExists(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("A dispute of this entry is open already: write a message to it.")


class TooManyDisputes(LedgerRefusal):
    def __init__(self, *, limit: int) -> None:
        super().__init__(f"You have {limit} open disputes, which is the limit. Withdraw one, or wait for an answer.")
        self.extra = {"limit": limit}


class TooManyMessages(LedgerRefusal):
    def __init__(self, *, limit: int) -> None:
        super().__init__(f"There are {limit} messages from this side in the dispute, which is the limit.")
        self.extra = {"limit": limit}


class DisputeNotFound(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("Not found.")


class DisputeClosed(LedgerRefusal):
    def __init__(self, state: str) -> None:
        super().__init__(f"This dispute is {state}: nothing more can be done about it.")
        self.extra = {"state": state}


class DisputeAwaitsApproval(LedgerRefusal):
    def __init__(self) -> None:
        super().__init__("Credits for this dispute wait for a second person's approval; until then it stays open.")
