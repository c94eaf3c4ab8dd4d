"""Balances: what each customer has."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from config.values.credits import LARGEST

NEVER = dt.datetime(9999, 12, 31, tzinfo=dt.UTC)
"""Stands for "nothing expires": a time that is later than any other."""


class Balance(models.Model):
    """One customer's credits as of their latest entry; written by the ledger's SQL functions alone."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        primary_key=True,
        related_name="balance",
        help_text="The customer.",
    )
    balance = models.DecimalField(
        max_digits=15, decimal_places=6, db_default=Decimal(0), help_text="Sum of all entries, in credits."
    )
    reserved = models.DecimalField(
        max_digits=15, decimal_places=6, db_default=Decimal(0), help_text="Credits in open holds."
    )
    granted_total = models.DecimalField(
        max_digits=24,
        decimal_places=6,
        db_default=Decimal(0),
        help_text="Sum of all entries that are neither usage nor a refund of it.",
    )
    overdraft_limit = models.DecimalField(
        max_digits=15, decimal_places=6, db_default=Decimal(0), help_text="How far below zero available may fall."
    )
    seq = models.BigIntegerField(db_default=0, help_text="Number of entries so far; the latest entry's place.")
    seal = models.BinaryField(db_default=b"", help_text="The latest entry's seal; empty before any.")
    next_expiry_at = models.DateTimeField(
        db_default=NEVER, help_text="No hold and no grant expires before this time (it may be early, never late)."
    )
    watch_below = models.DecimalField(
        max_digits=15,
        decimal_places=6,
        null=True,
        help_text="The highest threshold that is armed: falling below it is noted; empty: none.",
    )
    frozen_at = models.DateTimeField(null=True, help_text="Since when nothing may be spent; empty: not frozen.")
    updated_at = models.DateTimeField(db_default=Now(), help_text="Last change of balance or reserved.")

    class Meta:
        permissions: ClassVar = [
            ("freeze_balance", "Can freeze and unfreeze a customer's balance"),
            ("set_overdraft", "Can set how far a customer's balance may be overdrawn"),
            ("download_statement", "Can download customers' monthly statements"),
        ]
        constraints: ClassVar = [
            # One CHECK, not five: each is parsed again for every statement (docs/decisions/0002).
            models.CheckConstraint(
                name="balance_covers_holds_and_overdraft",
                condition=models.Q(reserved__gte=0)
                & models.Q(overdraft_limit__gte=0)
                & models.Q(seq__gte=0)
                & models.Q(balance__gte=models.F("reserved") - models.F("overdraft_limit"))
                & models.Q(balance__lte=LARGEST),  # the column's own bound, repeated to exclude NaN
            ),
        ]

    def __str__(self) -> str:
        return f"{self.balance:f} credits, {self.reserved:f} of them reserved"
