"""What many customers can spend right now, for lists: one expression in the list's own query."""

from __future__ import annotations

from decimal import Decimal

from django.db.models import Case, DecimalField, Expression, F, Func, OuterRef, Q, Subquery, Sum, Value, When
from django.db.models.functions import Coalesce, Now

from ledger.models import Hold, HoldStatus

_ZERO = Value(Decimal(0))


class _Lapsed(Func):
    """Credits of lots that have expired since anything was settled."""

    template = "(ledger_expired_credits(%(expressions)s)).credits"
    output_field = DecimalField(max_digits=15, decimal_places=6)


def lapsed_credits(path: str = "") -> Expression:
    """Give what the lots of these customers have lost since anything was settled; most of them cost no look."""
    return Case(
        When(Q((f"{path}next_expiry_at__lte", Now())), then=Coalesce(_Lapsed(F("pk"), Now()), _ZERO)), default=_ZERO
    )


def available_credits(path: str = "") -> Expression:
    """Give balance less reserved, for rows whose primary key is the customer's id; `path` leads to the balance.

    As in `ledger.selectors`, holds and lots that have run out count no more, and only customers with such ones pay for
    looking.
    """
    gone = (
        Hold.objects.filter(user_id=OuterRef("pk"), status=HoldStatus.OPEN, expires_at__lte=Now())
        .order_by()
        .values("user_id")
        .annotate(credits_left=Sum(F("credits") - F("captured")))
        .values("credits_left")
    )
    ran_out = Case(
        When(Q((f"{path}next_expiry_at__lte", Now())), then=Coalesce(Subquery(gone), _ZERO)),
        default=_ZERO,
    )
    return Coalesce(F(f"{path}balance") - F(f"{path}reserved") + ran_out - lapsed_credits(path), _ZERO)
