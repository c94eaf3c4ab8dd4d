"""Expiry of holds: settling what has run out, for customers who have stopped calling."""

from __future__ import annotations

from django.db.models.functions import Now

from config.db.calls import call
from ledger.models import Balance, Hold, HoldStatus


def customers_with_expiries() -> list[int]:
    """Name the customers of whom something may have expired that nobody has settled, by the database's clock."""
    due = Balance.objects.filter(next_expiry_at__lte=Now())
    return list(due.order_by("user_id").values_list("user_id", flat=True))


def expired_holds(*, user_id: int | None = None) -> int:
    """Count holds that have expired and are not settled."""
    holds = Hold.objects.filter(status=HoldStatus.OPEN, expires_at__lte=Now())
    return (holds if user_id is None else holds.filter(user_id=user_id)).count()


def expire_holds(*, user_id: int) -> int:
    """Settle every hold of the customer that has expired, in one transaction; answers how many.

    Repetition finds nothing more, and of several runs at once each hold is settled by one.
    """
    settled: int = call("ledger_expire_holds", p_user_id=user_id)[0]
    return settled
