"""The spending of keys that have a limit, or had one."""

from __future__ import annotations

from django.db import models

from accounts.models import ApiKey
from accounts.models.customer_key import customer_key


class KeySpending(models.Model):
    """What was spent since one day by one key and those that rotations put in its place; written by SQL functions only.

    The row exists from the time at which a limit is set, or first used since the last reset; spending from the next
    reset day on is counted in it, too.
    """

    pk = models.CompositePrimaryKey("user", "api_key", "began_on")
    user = customer_key(db_constraint=False)
    api_key = models.ForeignKey(
        ApiKey,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The customer's key; of rotated ones the first.",
    )
    began_on = models.DateField(help_text="The UTC day on which the count began.")
    counted_on = models.DateField(help_text="The latest UTC day of which something may have been counted.")
    credits = models.DecimalField(max_digits=24, decimal_places=6, help_text="Credits debited since, less refunds.")
    next_on = models.DateField(
        null=True, help_text="The UTC day on which the count begins anew; empty: not counted from there on."
    )
    next_credits = models.DecimalField(
        max_digits=24,
        decimal_places=6,
        default=0,
        db_default=0,
        help_text="Credits debited since then, less refunds.",
    )

    class Meta:
        verbose_name_plural = "key spending"

    def __str__(self) -> str:
        return f"{self.credits:f} since {self.began_on}"
