"""Staff actions that the ledger carries out, or refuses."""

from __future__ import annotations

from typing import Any

from accounts.admin.customer_action import CustomerAction
from accounts.models import User
from config.backoffice.confirmed_action import ConfirmedAction, Done
from config.backoffice.once_action import OnceAction
from config.backoffice.once_form import ReasonForm
from config.backoffice.staff_action import Target
from ledger.errors import IdempotencyKeyReused, LedgerRefusal


class LedgerRowAction(CustomerAction[Target], ConfirmedAction[Target, Done]):
    """A confirmed action on a row of a customer's; the sentences of its refusals are the ledger's."""

    moves_money = True
    refusal, key_reused = LedgerRefusal, IdempotencyKeyReused
    needs_view = True

    def once(self, form: Any) -> dict[str, Any]:
        return {"user_id": self.target.user_id, **super().once(form)}  # type: ignore[attr-defined]


class LedgerAction(LedgerRowAction[User, Done]):
    """A confirmed action on a customer."""

    needs_view = False

    def once(self, form: Any) -> dict[str, Any]:
        return {**ConfirmedAction.once(self, form), "user_id": self.target.pk}


class LedgerOnceAction(CustomerAction[Target], OnceAction[Target]):
    """A confirmed action on a row of a customer's whose service has no idempotency key: the form is spent."""

    refusal = LedgerRefusal
    form_class = ReasonForm
    needs_view = True
