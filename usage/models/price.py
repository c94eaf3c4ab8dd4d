"""Prices: versions of what a request costs."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now
from django.utils import timezone


class PriceKind(models.TextChoices):
    CODE = "code", "Endpoint code or exact path"
    TEMPLATE = "template", "Route template"
    GLOB = "glob", "Suffix glob"
    ANY = "any", "Everything else"


class Price(models.Model):
    """One version of the price of one endpoint; a new price is a new row, old ones stay."""

    endpoint = models.CharField(
        max_length=200, help_text="A code, a route template (/v1/items/{id}), a suffix glob (*.png), or *."
    )
    method = models.CharField(
        max_length=10, blank=True, default="", help_text="HTTP method in capitals; empty: every method."
    )
    kind = models.CharField(max_length=8, choices=PriceKind.choices, help_text="What form the endpoint has.")
    pattern = models.CharField(
        max_length=600, blank=True, default="", help_text="LIKE pattern of a template or glob, made from the endpoint."
    )
    slashes = models.SmallIntegerField(default=0, help_text="Number of slashes in a template: its paths have as many.")
    weight = models.SmallIntegerField(default=0, help_text="Literal characters; of two matches the heavier one wins.")
    credits = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits a unit; 0 is free.")
    minimum = models.DecimalField(
        max_digits=15,
        decimal_places=6,
        blank=True,
        default=Decimal(0),
        db_default=Decimal(0),
        help_text="The least that a request costs, in credits, unless how it ended makes it free; 0: no least.",
    )
    charge_failures = models.BooleanField(default=False, help_text="Whether failed requests (status ≥ 400) cost too.")
    effective_from = models.DateTimeField(default=timezone.now, help_text="Requests from this time on pay it.")
    created_at = models.DateTimeField(db_default=Now(), editable=False, help_text="When the version was made.")
    created_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        blank=True,
        editable=False,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who of the staff made it; empty: a command.",
    )

    class Meta:
        permissions: ClassVar = [("export_price", "Can export prices")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["endpoint", "method", "effective_from"], name="one_price_per_endpoint_method_and_time"
            ),
            models.CheckConstraint(condition=Q(credits__gte=0), name="price_is_not_negative"),
            models.CheckConstraint(condition=Q(minimum__gte=0), name="minimum_of_a_price_is_not_negative"),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.endpoint} = {self.credits:f}".strip()
