"""The available credits of many customers now, for lists: one expression in the list's own query."""

from __future__ import annotations

from decimal import Decimal

from django.db.models import Case, DecimalField, Expression, F, Func, OuterRef, Q, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce, Now

from ledger.models import Hold, HoldStatus

_ZERO = Value(Decimal(0))


class _ExpiredCredits(Func):
    """Credits of grants that have expired since the last settlement."""

    template = "(ledger_expired_credits(%(expressions)s)).credits"
    output_field = DecimalField(max_digits=15, decimal_places=6)


def expired_credits(path: str = "") -> Expression:
    """Return the credits of these customers' grants that expired since the last settlement; most rows cost no read."""
    return Case(
        When(Q((f"{path}next_expiry_at__lte", Now())), then=Coalesce(_ExpiredCredits(F("pk"), Now()), _ZERO)),
        default=_ZERO,
    )


def available_credits(path: str = "") -> Expression:
    """Return balance less reserved, for rows whose primary key is the customer's id; `path` leads to the balance.

    As in `ledger.selectors`, expired holds and grants do not count, and only customers with such rows cost an extra
    read.
    """
    gone = (
        Hold.objects.filter(user_id=OuterRef("pk"), status=HoldStatus.OPEN, expires_at__lte=Now())
        .order_by()
        .values("user_id")
        .annotate(credits_left=Sum(F("credits") - F("captured")))
        .values("credits_left")
    )
    expired_holds = Case(
        When(Q((f"{path}next_expiry_at__lte", Now())), then=Coalesce(Subquery(gone), _ZERO)),
        default=_ZERO,
    )
    return Coalesce(F(f"{path}balance") - F(f"{path}reserved") + expired_holds - expired_credits(path), _ZERO)
