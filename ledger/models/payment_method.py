"""Customers at a payment provider, and the cards that they saved there."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from accounts.models.customer_key import customer_key


class PaymentCustomer(models.Model):
    """One customer's id at one provider."""

    user = customer_key()
    provider = models.CharField(max_length=20, help_text="Which provider.")
    provider_customer_id = models.CharField(max_length=255, help_text="The provider's name for the customer.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When it was made.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "provider"], name="customer_is_known_once_to_a_provider"),
            models.UniqueConstraint(
                fields=["provider", "provider_customer_id"], name="provider_customer_is_one_of_ours"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.provider} {self.provider_customer_id}"


class CardSaving(models.Model):
    """One card that a customer has begun to save, for as long as it counts against the limit of new cards a day."""

    user = customer_key()
    created_at = models.DateTimeField(help_text="When.")

    class Meta:
        indexes: ClassVar = [models.Index(fields=["user", "created_at"], name="card_savings_of_user")]

    def __str__(self) -> str:
        return f"card of customer {self.user_id}"


class PaymentMethod(models.Model):
    """One card that a customer lets us charge; only the provider knows its number."""

    user = customer_key(related_name="payment_methods", db_index=True)
    provider = models.CharField(max_length=20, help_text="Which provider keeps it.")
    provider_method_id = models.CharField(max_length=255, help_text="The provider's name for it.")
    brand = models.CharField(max_length=30, help_text="Visa and the like, as the provider says it.")
    last4 = models.CharField(max_length=4, help_text="Its last four digits.")
    expiry_month = models.SmallIntegerField(help_text="Month in which it expires, 1 to 12.")
    expiry_year = models.SmallIntegerField(help_text="Year in which it expires.")
    fingerprint = models.CharField(
        max_length=255, null=True, help_text="The provider's name for the card itself, however often it is saved."
    )
    created_at = models.DateTimeField(db_default=Now(), help_text="When it was saved.")
    removed_at = models.DateTimeField(null=True, help_text="Since when it may not be charged; empty: it may.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["provider", "provider_method_id"], name="card_is_saved_once"),
            models.CheckConstraint(condition=Q(expiry_month__range=(1, 12)), name="card_expires_in_some_month"),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["provider", "fingerprint"],
                name="cards_that_are_the_same",
                condition=Q(fingerprint__isnull=False),
            )
        ]

    def __str__(self) -> str:
        return f"{self.brand} …{self.last4}"
