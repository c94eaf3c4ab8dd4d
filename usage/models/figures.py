"""Folded figures: what the back office's front page shows, so that no look sums whole tables.

All of it is derived: `fold_figures` makes it from the ledger and the daily sums, and `reconcile` compares both.
"""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models

from usage.models.daily_usage import DailyUsage


def _credits(help_text: str) -> models.DecimalField[Decimal, Decimal]:
    return models.DecimalField(max_digits=24, decimal_places=6, db_default=Decimal(0), help_text=help_text)


class DayFigures(models.Model):
    """Figures over all customers of one UTC day. The last four are of the end of the day: today's, of the last fold."""

    day = models.DateField(primary_key=True, help_text="The UTC day.")
    sold = _credits("Credits bought by top-up, or sold by hand.")
    reloaded = _credits("Credits bought by auto-reload.")
    spent = _credits("Credits that requests of the day cost, less refunds.")
    requests = models.BigIntegerField(db_default=0, help_text="Requests of the day.")
    failed = models.BigIntegerField(db_default=0, help_text="Of those, the ones that failed.")
    new_customers = models.IntegerField(db_default=0, help_text="Customers created on the day.")
    lost_customers = models.IntegerField(
        db_default=0, help_text="Customers whose last request was made 30 days before."
    )
    paid = _credits("Paid credits that customers had, less what was overdrawn.")
    promotional = _credits("Promotional credits that customers had.")
    reserved = _credits("Credits in open holds that had not expired.")
    without_credits = models.IntegerField(db_default=0, help_text="Customers with a balance of zero or less.")
    behind = models.IntegerField(
        db_default=0, help_text="Customers whose credits have moved since they were counted; 0: all are counted."
    )
    folded_at = models.DateTimeField(help_text="When it was made last.")

    class Meta:
        default_permissions = ()
        verbose_name_plural = "figures of days"

    def __str__(self) -> str:
        return f"figures of {self.day}"


class EndpointFigures(models.Model):
    """Requests of all customers to one endpoint on one UTC day."""

    pk = models.CompositePrimaryKey("day", "endpoint")
    day = models.DateField(help_text="The UTC day.")
    endpoint = models.CharField(
        max_length=DailyUsage._meta.get_field("endpoint").max_length, help_text="The price's endpoint."
    )
    requests = models.BigIntegerField(help_text="Requests.")
    failed = models.BigIntegerField(help_text="Of those, the ones that failed.")
    credits = models.DecimalField(max_digits=24, decimal_places=6, help_text="Credits charged, less refunds.")

    class Meta:
        default_permissions = ()
        verbose_name_plural = "figures of endpoints"

    def __str__(self) -> str:
        return f"{self.day} {self.endpoint}"


class CustomerFigures(models.Model):
    """What one customer has, as of entry `seq`, and uses. The latest entries are not in it until they are folded."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        primary_key=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        related_name="figures",
        help_text="The customer.",
    )
    seq = models.BigIntegerField(null=True, help_text="Place of the entry that was the last; empty: not counted yet.")
    paid = _credits("Paid credits, less what is overdrawn.")
    promotional = _credits("Promotional credits.")
    lost = _credits("What had expired of the balance without an entry; negative: what had been brought.")
    month = models.DateField(null=True, help_text="First day of the month that `spent` is of; empty: never spent.")
    spent = _credits("Credits that requests of the month cost, less refunds.")
    last_used_on = models.DateField(null=True, help_text="UTC day of the last request; empty: none.")
    folded_at = models.DateTimeField(help_text="When its credits were counted last.")

    class Meta:
        default_permissions = ()
        verbose_name_plural = "figures of customers"
        indexes: ClassVar = [
            models.Index(fields=["month", "-spent"], name="customers_by_spending"),
            models.Index(fields=["last_used_on"], name="customers_by_last_use"),
        ]

    def __str__(self) -> str:
        return f"figures of customer {self.user_id}"
