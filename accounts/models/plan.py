"""Plans and who is on them: records that the account summary shows."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q

from accounts.models.user import User


class BillingInterval(models.TextChoices):
    MONTHLY = "monthly", "Monthly"
    YEARLY = "yearly", "Yearly"


class SubscriptionStatus(models.TextChoices):
    TRIALING = "trialing", "Trialing"
    ACTIVE = "active", "Active"
    PAST_DUE = "past_due", "Past due"
    PAUSED = "paused", "Paused"
    CANCELED = "canceled", "Canceled"
    EXPIRED = "expired", "Expired"


LIVE_STATUSES = (
    SubscriptionStatus.TRIALING,
    SubscriptionStatus.ACTIVE,
    SubscriptionStatus.PAST_DUE,
    SubscriptionStatus.PAUSED,
)


class Plan(models.Model):
    """One plan on offer."""

    code = models.SlugField(max_length=50, unique=True, help_text="Stable name in the API, such as 'starter'.")
    name = models.CharField(max_length=100, help_text="Name shown to people.")
    credits_per_period = models.DecimalField(
        max_digits=15, decimal_places=6, help_text="Credits that each period brings."
    )
    is_active = models.BooleanField(default=True, help_text="Whether new customers may choose it.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(credits_per_period__gte=0), name="plan_credits_are_not_negative"),
        ]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """One customer's time on one plan."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="subscriptions", help_text="The customer.")
    plan = models.ForeignKey(Plan, on_delete=models.PROTECT, help_text="The plan.")
    status = models.CharField(
        max_length=10,
        choices=SubscriptionStatus.choices,
        default=SubscriptionStatus.ACTIVE,
        help_text="Where it stands.",
    )
    billing_interval = models.CharField(
        max_length=7, choices=BillingInterval.choices, default=BillingInterval.MONTHLY, help_text="Length of a period."
    )
    credits_per_period = models.DecimalField(
        max_digits=15, decimal_places=6, help_text="Credits that each period brings to this customer."
    )
    current_period_start = models.DateTimeField(help_text="Start of the running period.")
    current_period_end = models.DateTimeField(help_text="End of the running period, exclusive.")
    next_grant_at = models.DateTimeField(null=True, blank=True, help_text="When credits come next; empty: never.")
    cancel_at_period_end = models.BooleanField(default=False, help_text="Ends by itself when the period does.")
    started_at = models.DateTimeField(help_text="When the customer joined the plan.")
    canceled_at = models.DateTimeField(null=True, blank=True, help_text="When it was canceled.")

    class Meta:
        permissions: ClassVar = [("export_subscription", "Can export subscriptions")]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user"], condition=Q(status__in=LIVE_STATUSES), name="one_live_subscription_per_user"
            ),
            models.CheckConstraint(
                condition=Q(current_period_end__gt=F("current_period_start")), name="subscription_period_has_length"
            ),
            models.CheckConstraint(
                condition=Q(credits_per_period__gte=0), name="subscription_credits_are_not_negative"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} on {self.plan} ({self.status})"
