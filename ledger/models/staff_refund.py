"""Refunds of payments that staff ask the provider for."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Q

from accounts.models.customer_key import customer_key
from config.values.money import shown_money
from ledger.models.payment import Payment


class RefundState(models.TextChoices):
    ASKED = "asked", "Under way"
    MADE = "made", "Made"
    REFUSED = "refused", "Refused"


class StaffRefund(models.Model):
    """One refund of a payment by staff, written before the provider is asked; what it said is written once.

    The money that came of it, and whether it failed later, is in `PaymentRefund`, as of any other refund.
    """

    user = customer_key()
    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="staff_refunds", help_text="Of which.")
    amount_minor = models.BigIntegerField(help_text="How much of it, in the currency's smallest unit.")
    provider_key = models.UUIDField(unique=True, help_text="Our name for it at the provider: its idempotency key.")
    state = models.CharField(
        max_length=7, choices=RefundState.choices, default=RefundState.ASKED, help_text="Where it stands."
    )
    provider_refund_id = models.CharField(max_length=255, null=True, help_text="The provider's name for it.")
    failure_code = models.CharField(max_length=100, null=True, help_text="Why it was refused, as a word.")
    failure_message = models.TextField(null=True, help_text="Why it was refused, as a sentence.")
    note = models.TextField(help_text="Why it is refunded: for the staff alone.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, db_index=False, related_name="+",
        help_text="Who of the staff did it.",
    )  # fmt: skip
    idempotency_key = models.CharField(max_length=255, help_text="The caller's name for this very refund.")
    fingerprint = models.BinaryField(help_text="SHA-256 of what was asked under that key.")
    created_at = models.DateTimeField(help_text="When staff asked for it.")
    asked_at = models.DateTimeField(help_text="When the provider was last asked for it.")
    settled_at = models.DateTimeField(null=True, help_text="When the provider had made or refused it.")

    class Meta:
        verbose_name = "refund by staff"
        verbose_name_plural = "refunds by staff"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="refund_form_is_taken_once"),
            models.UniqueConstraint(
                fields=["payment"], name="one_refund_is_under_way", condition=Q(state=RefundState.ASKED)
            ),
            models.CheckConstraint(
                condition=Q(state=RefundState.ASKED, settled_at__isnull=True)
                | Q(state=RefundState.MADE, settled_at__isnull=False, provider_refund_id__isnull=False)
                | Q(state=RefundState.REFUSED, settled_at__isnull=False, failure_code__isnull=False),
                name="refund_by_staff_says_what_came_of_it",
            ),
            models.CheckConstraint(condition=Q(amount_minor__gt=0) & ~Q(note=""), name="refund_by_staff_says_why"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "id"], name="staff_refunds_of_user"),
            models.Index(fields=["asked_at"], name="refunds_under_way", condition=Q(state=RefundState.ASKED)),
        ]

    def __str__(self) -> str:
        return f"refund {self.pk} of {shown_money(self.amount_minor, self.payment.currency)} ({self.state})"
