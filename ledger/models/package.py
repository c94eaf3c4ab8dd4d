"""Packages: what customers can buy."""

from __future__ import annotations

from typing import ClassVar

from django.core.validators import MinValueValidator, RegexValidator
from django.db import models
from django.db.models import Q

from config.values.credits import LARGEST
from config.values.money import shown_money

LARGEST_PRICE = 99_999_999
"""In minor units: what Stripe takes at most for one payment."""


class TopUpPackage(models.Model):
    """An amount of credits for a price; a purchase keeps the terms of its own time."""

    code = models.SlugField(max_length=50, unique=True, help_text="Names the package in the API.")
    name = models.CharField(max_length=100, help_text="As customers read it, on receipts too.")
    credits = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits that it gives.")
    price_minor = models.BigIntegerField(
        "price in minor units",
        validators=[MinValueValidator(1)],
        help_text="In the currency's smallest unit: 1250 is 12.50 USD, or 1250 JPY.",
    )
    currency = models.CharField(
        max_length=3,
        validators=[RegexValidator(r"^[A-Z]{3}\Z", "Write three capital letters, such as USD.")],
        help_text="ISO 4217 code, in capital letters.",
    )
    is_active = models.BooleanField(default=True, help_text="Cleared to sell it no more.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(credits__gt=0, credits__lte=LARGEST) & Q(price_minor__range=(1, LARGEST_PRICE)),
                name="package_gives_credits_for_money",
            ),
            models.CheckConstraint(condition=Q(currency__regex=r"^[A-Z]{3}$"), name="package_has_a_currency"),
        ]

    def __str__(self) -> str:
        return f"{self.name} for {shown_money(self.price_minor, self.currency)}"
