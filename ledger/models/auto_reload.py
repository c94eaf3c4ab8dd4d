"""Auto-reload: what customers agreed to, and everything that followed."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models.customer_key import customer_key
from ledger.models.payment import Payment
from ledger.models.payment_method import PaymentMethod


class OffReason(models.TextChoices):
    CUSTOMER = "customer", "The customer turned it off"
    STAFF = "staff", "Staff turned it off"
    DECLINED = "declined", "Three payments in a row were declined"
    METHOD_REMOVED = "method_removed", "The card was removed"
    PRICE_CHANGED = "price_changed", "The price is no longer the one agreed to"
    DISPUTED = "disputed", "A payment was disputed"
    REFUNDED = "refunded", "A payment of auto-reload was refunded"


class AutoReload(models.Model):
    """One customer's terms for automatic purchases, and their state; off unless the customer agreed."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        primary_key=True,
        on_delete=models.PROTECT,
        related_name="auto_reload",
        help_text="The customer.",
    )
    enabled = models.BooleanField(default=False, help_text="Whether credits are bought unasked.")
    threshold = models.DecimalField(
        max_digits=15, decimal_places=6, null=True, help_text="Available credits below which it buys."
    )
    amount = models.DecimalField(
        max_digits=15, decimal_places=6, null=True, help_text="Credits that it buys, or so many times that."
    )
    target = models.DecimalField(
        max_digits=15, decimal_places=6, null=True, help_text="Available credits that it buys up to, instead."
    )
    monthly_cap_minor = models.BigIntegerField(
        null=True, help_text="What it may cost in a calendar month (UTC), in the currency's smallest unit."
    )
    method = models.ForeignKey(
        PaymentMethod, null=True, on_delete=models.PROTECT, related_name="+", help_text="The saved card it charges."
    )
    currency = models.CharField(max_length=3, null=True, help_text="ISO 4217 code of the price agreed to.")
    price_minor = models.BigIntegerField(
        null=True, help_text="Price of 1,000 credits agreed to, in the currency's smallest unit."
    )
    consented_at = models.DateTimeField(null=True, help_text="When the customer last agreed to the terms.")
    consented_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        db_index=False,
        related_name="+",
        help_text="Who agreed.",
    )
    sentence = models.TextField(null=True, help_text="The words that were agreed to.")
    off_reason = models.CharField(
        max_length=15, choices=OffReason.choices, null=True, help_text="Why it is off; empty: on, or never was."
    )
    turned_off_at = models.DateTimeField(null=True, help_text="When it was turned off.")
    declines_in_a_row = models.SmallIntegerField(
        default=0, db_default=0, help_text="Payments that were declined since the last that succeeded."
    )
    last_attempt_at = models.DateTimeField(null=True, help_text="When a payment was last begun.")
    next_attempt_at = models.DateTimeField(null=True, help_text="Before then no payment is begun; empty: at once.")
    cap_reached_in = models.DateField(
        null=True, help_text="First day of the month whose cap has stopped it, until it buys again."
    )
    created_at = models.DateTimeField(help_text="When the customer first set terms.")
    updated_at = models.DateTimeField(help_text="When anything here last changed.")

    class Meta:
        permissions: ClassVar = [("switch_off_auto_reload", "Can switch off a customer's auto-reload")]
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(enabled=False)
                | (
                    Q(
                        threshold__isnull=False,
                        threshold__gt=0,
                        monthly_cap_minor__isnull=False,
                        monthly_cap_minor__gt=0,
                        method__isnull=False,
                        currency__isnull=False,
                        price_minor__isnull=False,
                        price_minor__gt=0,
                        consented_at__isnull=False,
                        consented_by__isnull=False,
                        sentence__isnull=False,
                        off_reason__isnull=True,
                    )
                    & (
                        Q(amount__isnull=False, amount__gt=0, target__isnull=True)
                        | Q(amount__isnull=True, target__isnull=False, target__gt=F("threshold"))
                    )
                ),
                name="reload_that_is_on_was_agreed_to",
            ),
            models.CheckConstraint(
                condition=Q(off_reason__isnull=True) | Q(off_reason__in=OffReason.values),
                name="reload_is_off_for_a_known_reason",
            ),
            models.CheckConstraint(condition=Q(declines_in_a_row__gte=0), name="reload_declines_are_counted"),
        ]

        indexes: ClassVar = [
            models.Index(fields=["turned_off_at"], name="reloads_declined", condition=Q(off_reason="declined")),
        ]

    def __str__(self) -> str:
        return f"auto-reload of customer {self.pk} ({'on' if self.enabled else 'off'})"


class ReloadEventKind(models.TextChoices):
    ENABLED = "enabled", "Turned on"
    CHANGED = "changed", "Terms changed"
    DISABLED = "disabled", "Turned off"
    ATTEMPT = "attempt", "Payment begun"
    CAP_REACHED = "cap_reached", "Stopped by the monthly cap"


class ReloadEventQuerySet(models.QuerySet["AutoReloadEvent"]):
    def of(self, user_id: int) -> ReloadEventQuerySet:
        return self.filter(user_id=user_id)

    def newest_first(self) -> ReloadEventQuerySet:
        return self.order_by("-id")


class AutoReloadEvent(models.Model):
    """One event of a customer's auto-reload; never altered, never removed.

    The outcome of a payment is stored in the payment itself.
    """

    user = customer_key()
    kind = models.CharField(max_length=11, choices=ReloadEventKind.choices, help_text="What happened.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        db_index=False,
        related_name="+",
        help_text="Who did it; empty: nobody, it follows from the rules.",
    )
    reason = models.CharField(
        max_length=15, choices=OffReason.choices, null=True, help_text="Why it was turned off, as a word."
    )
    note = models.TextField(null=True, help_text="What staff wrote about it; customers do not see it.")
    sentence = models.TextField(null=True, help_text="The words that were agreed to.")
    threshold = models.DecimalField(max_digits=15, decimal_places=6, null=True, help_text="As agreed to.")
    amount = models.DecimalField(max_digits=15, decimal_places=6, null=True, help_text="As agreed to.")
    target = models.DecimalField(max_digits=15, decimal_places=6, null=True, help_text="As agreed to.")
    monthly_cap_minor = models.BigIntegerField(null=True, help_text="As agreed to, in the currency's smallest unit.")
    currency = models.CharField(max_length=3, null=True, help_text="ISO 4217 code.")
    payment = models.OneToOneField(
        Payment, null=True, on_delete=models.PROTECT, related_name="reload_event", help_text="The payment begun."
    )
    idempotency_key = models.CharField(max_length=255, null=True, help_text="Key of the form that staff sent.")
    created_at = models.DateTimeField(help_text="When.")

    objects = ReloadEventQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="reload_form_is_taken_once"),
            models.CheckConstraint(condition=Q(kind__in=ReloadEventKind.values), name="reload_event_is_known"),
            models.CheckConstraint(
                condition=Q(kind="attempt", payment__isnull=False) | (~Q(kind="attempt") & Q(payment__isnull=True)),
                name="reload_attempt_has_its_payment",
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["user", "id"], name="reload_events_of_user")]

    def __str__(self) -> str:
        return f"{self.kind} of customer {self.user_id}"
