"""Alerts: conditions on a customer's credits of which they are notified."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Q

from accounts.models.customer_key import customer_key

LEAST_DAYS, MOST_DAYS = 1, 365


class AlertKind(models.TextChoices):
    BALANCE_BELOW = "balance_below", "Balance below"
    RUNWAY_BELOW = "runway_below", "Runway below"
    DEPLETED = "depleted", "Depleted"
    GRANT_EXPIRING = "grant_expiring", "Grant expiring"


WATCHED_KINDS = (AlertKind.BALANCE_BELOW, AlertKind.DEPLETED)
"""Kinds that a move of the balance can trigger, and so have a threshold in the ledger."""
DEFAULT_KINDS = (AlertKind.DEPLETED, AlertKind.GRANT_EXPIRING)
"""Kinds that every customer has one of: switched off rather than removed."""
LEAST_CREDITS = Decimal("0.000001")
"""The smallest amount of credits: less than this is nothing."""


class AlertQuerySet(models.QuerySet["Alert"]):
    def of(self, user_id: int) -> AlertQuerySet:
        return self.filter(user_id=user_id)

    def newest_first(self) -> AlertQuerySet:
        return self.order_by("-id")


class Alert(models.Model):
    """One condition of which a customer is notified, and whether it was last announced as true."""

    user = customer_key(related_name="alerts")
    kind = models.CharField(max_length=14, choices=AlertKind.choices, help_text="What it looks at.")
    credits = models.DecimalField(
        max_digits=15, decimal_places=6, null=True, help_text="Available credits below which it is told."
    )
    days = models.SmallIntegerField(
        null=True, help_text="Days of credit left below which it is told, or days before an expiry."
    )
    is_enabled = models.BooleanField(default=True, db_default=True, help_text="Whether it is told at all.")
    by_email = models.BooleanField(default=True, db_default=True, help_text="Whether by email, besides webhooks.")
    crossed_at = models.DateTimeField(
        null=True, help_text="Since when it is so, once that was told; empty: it is not, or is no matter of crossing."
    )
    created_at = models.DateTimeField(help_text="When it was made.")

    objects = AlertQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "kind", "credits", "days"], nulls_distinct=False, name="alert_is_there_once"
            ),
            models.UniqueConstraint(
                fields=["user", "kind"], condition=Q(kind__in=DEFAULT_KINDS), name="default_alert_is_there_once"
            ),
            models.CheckConstraint(
                name="alert_has_what_its_kind_needs",
                condition=Q(kind=AlertKind.BALANCE_BELOW, credits__gt=0, days__isnull=True)
                | Q(kind=AlertKind.DEPLETED, credits__isnull=True, days__isnull=True)
                | Q(
                    kind__in=[AlertKind.RUNWAY_BELOW, AlertKind.GRANT_EXPIRING],
                    credits__isnull=True,
                    days__gte=LEAST_DAYS,
                    days__lte=MOST_DAYS,
                ),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["id"], name="alerts_crossed", condition=Q(crossed_at__isnull=False)),
            models.Index(
                fields=["id"], name="alerts_of_runway", condition=Q(kind=AlertKind.RUNWAY_BELOW, is_enabled=True)
            ),
        ]

    def __str__(self) -> str:
        if self.credits is not None:
            return f"{self.get_kind_display()} {self.credits:f}"
        return self.get_kind_display() if self.days is None else f"{self.get_kind_display()}, {self.days} days"

    @property
    def threshold_name(self) -> str:
        """Return the name of its threshold in the ledger; of WATCHED_KINDS only."""
        return "alert-depleted" if self.kind == AlertKind.DEPLETED else f"alert-{self.pk}"

    @property
    def below(self) -> Decimal:
        """Return the credits below which it applies; of WATCHED_KINDS only."""
        return LEAST_CREDITS if self.credits is None else self.credits
