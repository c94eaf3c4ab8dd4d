"""Staff actions that the ledger carries out, or refuses."""

from __future__ import annotations

from typing import Any

from accounts.admin.customer_action import CustomerAction
from accounts.models import User
from config.backoffice.confirmed_action import ConfirmedAction, Done
from ledger.errors import IdempotencyKeyReused, LedgerRefusal


class LedgerAction(CustomerAction[User], ConfirmedAction[User, Done]):
    """A confirmed action on a customer; the sentences of its refusals are the ledger's."""

    refusal, key_reused = LedgerRefusal, IdempotencyKeyReused

    def once(self, form: Any) -> dict[str, Any]:
        return {"user_id": self.target.pk, **super().once(form)}
