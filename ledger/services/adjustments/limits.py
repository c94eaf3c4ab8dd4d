"""Limits of adjustments: how much a member of staff may post without a second person."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import NamedTuple

from django.conf import settings
from django.db.models import Max

from ledger.models import AdjustmentDay, AdjustmentLimit


class Allowance(NamedTuple):
    """What a member of staff may adjust alone, in credits without sign: at once, a day, and what is left of the day."""

    single: Decimal
    daily: Decimal
    left_today: Decimal


def allowance_of(*, staff_id: int, now: dt.datetime) -> Allowance:
    """Return what the pages show; the SQL function decides, with the day's sum locked (`ledger_adjustment_limits`)."""
    limits = AdjustmentLimit.objects.filter(group__user=staff_id).aggregate(single=Max("single"), daily=Max("daily"))
    single = settings.ADJUSTMENT_LIMIT if limits["single"] is None else limits["single"]
    daily = settings.ADJUSTMENT_LIMIT_PER_DAY if limits["daily"] is None else limits["daily"]
    today = now.astimezone(dt.UTC).date()
    done = AdjustmentDay.objects.filter(author_id=staff_id, day=today).values_list("credits", flat=True).first()
    return Allowance(single, daily, max(daily - (done or Decimal(0)), Decimal(0)))
