"""Thresholds: amounts below which a customer's credits are low."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q

from accounts.models.customer_key import customer_key


class Threshold(models.Model):
    """One amount that a customer's available credits are watched against; written by SQL functions alone.

    It is armed until available falls below it. That move records the time, and nothing is recorded again until
    available was found to be back at it or above.
    """

    user = customer_key(related_name="thresholds", db_constraint=False)
    name = models.CharField(max_length=50, help_text="What it is for; each customer has one of a name.")
    below = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits below which available is low.")
    crossed_at = models.DateTimeField(null=True, help_text="When available fell below it; empty: armed.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "name"], name="threshold_has_one_name"),
            models.CheckConstraint(condition=Q(below__gt=0), name="threshold_is_above_zero"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["name", "crossed_at"], name="thresholds_crossed", condition=Q(crossed_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.name} below {self.below:f}"
