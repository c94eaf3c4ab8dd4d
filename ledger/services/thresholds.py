"""Thresholds: the move that takes a customer's available credits below an amount records it (docs/decisions/0032)."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import NamedTuple

from config.db.calls import call_rows
from ledger.models import Threshold
from ledger.services.calls import ledger_call


class Crossing(NamedTuple):
    """One threshold that a customer's available credits fell below, and when."""

    user_id: int
    name: str
    below: Decimal
    crossed_at: dt.datetime


def watch_available(*, user_id: int, name: str, below: Decimal | None) -> dt.datetime | None:
    """Watch a customer's available credits against `below` (more than 0), under a name that each customer has once.

    None ends it. Another amount begins anew; the same again changes nothing. Return since when available is below it,
    None when it is not: then the charge, hold or expiry that takes it below records the time.

    :raises UnknownCustomer: if there is no such user
    """
    since: dt.datetime | None = ledger_call("ledger_watch", p_user_id=user_id, p_name=name, p_below=below).ledger_watch
    return since


def crossings(*, prefix: str, most: int) -> list[Crossing]:
    """Return at most `most` crossed thresholds whose names begin with `prefix`, the first crossed first.

    Available may meanwhile be back: `rearm` checks that.
    """
    crossed = Threshold.objects.filter(crossed_at__isnull=False, name__startswith=prefix)
    return [Crossing(*row) for row in crossed.order_by("crossed_at", "id").values_list(*Crossing._fields)[:most]]


def rearm(*, user_id: int) -> list[Crossing]:
    """Arm those thresholds of a customer again that available is back at or above; return them, as they were crossed.

    Each recovery is returned once: the caller acts on it in the transaction of this call.
    """
    return [Crossing(user_id, *row) for row in call_rows("ledger_rearm", p_user_id=user_id)]
