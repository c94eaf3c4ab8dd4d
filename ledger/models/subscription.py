"""Subscriptions: the credits of their periods, and every change of them, kept for ever."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models import BillingInterval, Plan, Subscription
from accounts.models.customer_key import customer_key
from ledger.models.entry import entry_key


class SubscriptionPeriod(models.Model):
    """One period of a subscription that has begun, and its credits; written by SQL functions alone.

    The credits are one grant, or two with different ends: the second is what may roll over once more.
    """

    user = customer_key(related_name="subscription_periods")
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="periods", help_text="The subscription."
    )
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+", help_text="The plan then.")
    starts_at = models.DateTimeField(help_text="When it began.")
    ends_at = models.DateTimeField(help_text="When it ends, exclusive, if nothing ends it before.")
    credits = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits that its beginning brought.")
    entry = entry_key(help_text="The entry that brought them; empty: none were due.")
    kept_entry = entry_key(help_text="The entry of those that stay longer; empty: all end alike.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When this was written.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "subscription", "starts_at"], name="period_is_granted_once"),
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("starts_at")) & Q(credits__gte=0), name="period_has_length_and_credits"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.starts_at:%Y-%m-%d} to {self.ends_at:%Y-%m-%d}"


class SubscriptionChangeKind(models.TextChoices):
    START = "start", "Started"
    UPGRADE = "upgrade", "Upgraded"
    PLAN_LATER = "plan_later", "Plan changed from the next period"
    PLAN_KEPT = "plan_kept", "Change of plan taken back"
    PAUSE = "pause", "Paused"
    RESUME = "resume", "Resumed"
    CANCEL_LATER = "cancel_later", "Canceled to the end of the period"
    CANCEL_KEPT = "cancel_kept", "Cancellation taken back"
    CANCEL = "cancel", "Canceled"


class SubscriptionChange(models.Model):
    """One change of a subscription: what was done, by whom and why."""

    user = customer_key(related_name="subscription_changes")
    subscription = models.ForeignKey(
        Subscription, on_delete=models.PROTECT, related_name="changes", help_text="The subscription."
    )
    kind = models.CharField(max_length=12, choices=SubscriptionChangeKind.choices, help_text="What was done.")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, related_name="+", help_text="The plan it leads to.")
    billing_interval = models.CharField(
        max_length=7, choices=BillingInterval.choices, help_text="The length of a period it leads to."
    )
    credits_per_period = models.DecimalField(
        max_digits=15, decimal_places=6, help_text="The credits of each period it leads to."
    )
    effective_at = models.DateTimeField(help_text="From when it counts.")
    credits = models.DecimalField(
        max_digits=15, decimal_places=6, db_default=Decimal(0), help_text="Credits that it brought by itself."
    )
    entry = entry_key(help_text="The entry that brought them; empty: none.")
    kept_entry = entry_key(help_text="The entry of those that stay longer; empty: none.")
    note = models.TextField(help_text="Why: for the staff alone.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who of the staff did it; empty: an operator's command.",
    )
    idempotency_key = models.CharField(max_length=255, help_text="The caller's name for this very change.")
    fingerprint = models.BinaryField(help_text="SHA-256 of what was asked under that key.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When.")

    class Meta:
        verbose_name = "change of a subscription"
        verbose_name_plural = "changes of subscriptions"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="subscription_key_is_used_once"),
            models.CheckConstraint(condition=~Q(note=""), name="subscription_change_says_why"),
            models.CheckConstraint(condition=Q(credits__gte=0), name="subscription_change_takes_nothing"),
        ]

    def __str__(self) -> str:
        return f"{SubscriptionChangeKind(self.kind).label}, {self.created_at:%Y-%m-%d %H:%M}"
