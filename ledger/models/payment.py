"""Payments: money that customers pay for credits, and its outcome."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models.customer_key import customer_key
from config.values.money import shown_money
from ledger.models.entry import entry_key
from ledger.models.package import TopUpPackage
from ledger.models.payment_method import PaymentMethod


class PaymentState(models.TextChoices):
    PENDING = "pending", "Pending"
    REQUIRES_ACTION = "requires_action", "Requires action"
    SUCCEEDED = "succeeded", "Succeeded"
    FAILED = "failed", "Failed"
    EXPIRED = "expired", "Expired"


class PaymentKind(models.TextChoices):
    TOP_UP = "top_up", "Top-up"
    AUTO_RELOAD = "auto_reload", "Auto-reload"


OPEN_STATES = (PaymentState.PENDING, PaymentState.REQUIRES_ACTION)


class PaymentQuerySet(models.QuerySet["Payment"]):
    def of(self, user_id: int) -> PaymentQuerySet:
        return self.filter(user_id=user_id)

    def newest_first(self) -> PaymentQuerySet:
        return self.order_by("-id")


class Payment(models.Model):
    """One purchase of credits: written before the provider is asked, credited once when the provider has the money."""

    user = customer_key(related_name="payments")
    package = models.ForeignKey(
        TopUpPackage, null=True, on_delete=models.PROTECT, related_name="+", help_text="What was bought."
    )
    method = models.ForeignKey(
        PaymentMethod,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The saved card that was charged; empty: the customer pays on the provider's page.",
    )
    paid_with = models.CharField(
        max_length=255, null=True, help_text="The provider's name for the card that paid, saved before or by paying."
    )
    kind = models.CharField(
        max_length=11,
        choices=PaymentKind.choices,
        default=PaymentKind.TOP_UP,
        db_default=PaymentKind.TOP_UP,
        help_text="Whether the customer bought, or auto-reload for them.",
    )
    credits = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits that it gives.")
    amount_minor = models.BigIntegerField(help_text="What is to be paid, in the currency's smallest unit.")
    currency = models.CharField(max_length=3, help_text="ISO 4217 code.")
    state = models.CharField(
        max_length=15, choices=PaymentState.choices, default=PaymentState.PENDING, help_text="Where it stands."
    )
    provider = models.CharField(max_length=20, help_text="Who takes the money.")
    provider_key = models.UUIDField(unique=True, help_text="Our name for it at the provider: its idempotency key.")
    provider_customer_id = models.CharField(max_length=255, help_text="The provider's name for the customer.")
    provider_payment_id = models.CharField(max_length=255, null=True, help_text="The provider's name for the payment.")
    checkout_id = models.CharField(max_length=255, null=True, help_text="The provider's page on which it is paid.")
    action_url = models.TextField(null=True, help_text="Where the customer goes on, while action is required.")
    client_secret = models.CharField(
        max_length=255, null=True, help_text="With which the provider's own script goes on, while action is required."
    )
    failure_code = models.CharField(max_length=100, null=True, help_text="Why it failed, as a word.")
    failure_message = models.TextField(null=True, help_text="Why it failed, as a sentence for the customer.")
    refunded_minor = models.BigIntegerField(
        db_default=0, help_text="What the provider has given back of it, disputes apart, and what failed of that."
    )
    refunded_said_minor = models.BigIntegerField(
        db_default=0, help_text="The most that the provider has ever said that it gave back in all; never falls."
    )
    credits_owed = models.DecimalField(
        max_digits=15,
        decimal_places=6,
        default=0,
        db_default=0,
        help_text="Of its credits: to be taken back, but spent before; taken from whatever comes in.",
    )
    entry = entry_key(help_text="The entry that gave the credits.")
    idempotency_key = models.CharField(max_length=255, help_text="The customer's name for this very purchase.")
    fingerprint = models.BinaryField(help_text="SHA-256 of what was asked under that key.")
    created_at = models.DateTimeField(help_text="When it was asked for.")
    asked_at = models.DateTimeField(help_text="When the provider was last asked about it.")
    expires_at = models.DateTimeField(help_text="Until when the customer may act.")
    settled_at = models.DateTimeField(null=True, help_text="When it succeeded, failed or expired.")

    objects = PaymentQuerySet.as_manager()

    class Meta:
        permissions: ClassVar = [
            ("settle_payment", "Can ask the provider what became of a payment"),
            ("hear_of_disputes", "Is told of disputes by email"),
            ("resend_receipt", "Can send the receipt of a payment again"),
            ("refund_payment", "Can refund a payment through the provider"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="payment_key_is_used_once"),
            models.UniqueConstraint(
                fields=["provider", "provider_payment_id"], name="provider_payment_is_credited_once"
            ),
            models.UniqueConstraint(fields=["provider", "checkout_id"], name="checkout_is_of_one_payment"),
            models.UniqueConstraint(
                fields=["user"],
                name="one_reload_is_pending",
                condition=Q(kind="auto_reload", state__in=["pending", "requires_action"]),
            ),
            models.CheckConstraint(condition=Q(state__in=PaymentState.values), name="payment_state_is_known"),
            models.CheckConstraint(condition=Q(kind__in=PaymentKind.values), name="payment_kind_is_known"),
            models.CheckConstraint(
                condition=Q(state=PaymentState.SUCCEEDED, entry__isnull=False)
                | (~Q(state=PaymentState.SUCCEEDED) & Q(entry__isnull=True)),
                name="payment_succeeded_has_its_entry",
            ),
            models.CheckConstraint(
                condition=Q(credits__gt=0, amount_minor__gt=0, refunded_minor__gte=0)
                & Q(refunded_minor__lte=F("amount_minor")),
                name="payment_refunds_at_most_what_was_paid",
            ),
            models.CheckConstraint(
                condition=Q(credits_owed__gte=0, credits_owed__lte=F("credits")),
                name="payment_owes_at_most_its_credits",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "id"], name="payments_of_user"),
            models.Index(fields=["user", "created_at"], name="reloads_of_user", condition=Q(kind="auto_reload")),
            models.Index(fields=["user", "created_at"], name="top_ups_of_user", condition=Q(kind="top_up")),
            models.Index(fields=["user"], name="payments_that_owe", condition=Q(credits_owed__gt=0)),
            models.Index(
                fields=["id"],
                name="payments_refunded",
                condition=Q(refunded_minor__gt=0) | Q(refunded_said_minor__gt=0),
            ),
            models.Index(fields=["created_at"], name="payments_failed", condition=Q(state="failed")),
            models.Index(
                fields=["asked_at"], name="payments_in_doubt", condition=Q(state__in=["pending", "requires_action"])
            ),
        ]

    def __str__(self) -> str:
        return f"payment {self.pk} of {shown_money(self.amount_minor, self.currency)} ({self.state})"


class OutcomeSource(models.TextChoices):
    ANSWER = "answer", "The provider's answer"
    WEBHOOK = "webhook", "The provider's message"
    SETTLING = "settling", "Asked again"


class PaymentOutcome(models.Model):
    """One fact that was learnt about a payment; never altered or removed by the application."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="outcomes", help_text="Of which.")
    source = models.CharField(max_length=10, choices=OutcomeSource.choices, help_text="How it was learnt.")
    outcome = models.CharField(max_length=30, help_text="The state it came to, or what went wrong.")
    detail = models.TextField(help_text="What was said about it.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When.")

    def __str__(self) -> str:
        return f"{self.outcome} by {self.source}"


class PaymentRefund(models.Model):
    """One refund that the provider reported by itself, as one that may still fail."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="refunds", help_text="Of which.")
    provider_refund_id = models.CharField(max_length=255, help_text="The provider's name for it.")
    amount_minor = models.BigIntegerField(help_text="How much of it, in the currency's smallest unit.")
    has_failed = models.BooleanField(default=False, help_text="Whether the money did not arrive; never cleared.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When we learnt of it.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["payment", "provider_refund_id"], name="refund_is_noted_once"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="refund_is_about_money"),
        ]

    def __str__(self) -> str:
        return f"refund {self.provider_refund_id} ({'failed' if self.has_failed else 'made'})"


class DisputeStatus(models.TextChoices):
    OPEN = "open", "Open"
    WON = "won", "Won"
    LOST = "lost", "Lost"


class PaymentDispute(models.Model):
    """One payment that the customer's bank took back, until the dispute is won."""

    payment = models.ForeignKey(Payment, on_delete=models.PROTECT, related_name="disputes", help_text="Of which.")
    provider_dispute_id = models.CharField(max_length=255, help_text="The provider's name for it.")
    amount_minor = models.BigIntegerField(help_text="What was taken back, in the currency's smallest unit.")
    status = models.CharField(max_length=4, choices=DisputeStatus.choices, help_text="Whether the money came back.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When we learnt of it.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["payment", "provider_dispute_id"], name="dispute_is_noted_once"),
            models.CheckConstraint(condition=Q(amount_minor__gt=0), name="dispute_is_about_money"),
        ]
        indexes: ClassVar = [
            models.Index(fields=["payment"], name="disputes_not_won", condition=~Q(status="won")),
            models.Index(fields=["created_at"], name="disputes_open", condition=Q(status="open")),
        ]

    def __str__(self) -> str:
        return f"dispute {self.provider_dispute_id} ({self.status})"
