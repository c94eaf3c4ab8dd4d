"""Plans and subscriptions. `ledger.services.subscriptions.actions` decides which credits they bring."""

from __future__ import annotations

from decimal import Decimal
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
    """One plan that customers can subscribe to."""

    code = models.SlugField(max_length=50, unique=True, help_text="Stable name in the API, such as 'starter'.")
    name = models.CharField(max_length=100, help_text="Name shown to people.")
    credits_per_period = models.DecimalField(
        max_digits=15, decimal_places=6, help_text="Credits that each monthly period brings."
    )
    credits_per_year = models.DecimalField(
        max_digits=15,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Credits that each yearly period brings; empty: it is not sold by the year.",
    )
    rollover_cap = models.DecimalField(
        max_digits=15,
        decimal_places=6,
        null=True,
        blank=True,
        default=Decimal(0),
        help_text="Most credits that stay when a period ends with some left: 0 none, empty all.",
    )
    is_active = models.BooleanField(default=True, help_text="Whether new customers may choose it.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(condition=Q(credits_per_period__gte=0), name="plan_credits_are_not_negative"),
            models.CheckConstraint(
                condition=(Q(credits_per_year__isnull=True) | Q(credits_per_year__gte=0))
                & (Q(rollover_cap__isnull=True) | Q(rollover_cap__gte=0)),
                name="plan_year_and_rollover_are_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.name


class Subscription(models.Model):
    """One customer's subscription: its plan, state and current period.

    The current period begins `months_elapsed` months after `anchor_at`, on the month's last day where the month is
    shorter, and always counted from the anchor. Without an anchor it is a record kept by hand, which brings no credits.
    """

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
    rollover_cap = models.DecimalField(
        max_digits=15,
        decimal_places=6,
        null=True,
        blank=True,
        help_text="Most credits that stay when a period of this customer ends with some left: 0 none, empty all.",
    )
    anchor_at = models.DateTimeField(
        null=True, blank=True, help_text="From where its periods are counted; empty: it brings no credits."
    )
    months_elapsed = models.PositiveIntegerField(
        db_default=0, help_text="Months from the anchor to the start of the running period."
    )
    current_period_start = models.DateTimeField(help_text="Start of the running period.")
    current_period_end = models.DateTimeField(help_text="End of the running period, exclusive.")
    next_grant_at = models.DateTimeField(null=True, blank=True, help_text="When credits come next; empty: never.")
    cancel_at_period_end = models.BooleanField(default=False, help_text="Ends by itself when the period does.")
    started_at = models.DateTimeField(help_text="When the customer joined the plan.")
    canceled_at = models.DateTimeField(null=True, blank=True, help_text="When it was canceled.")
    paused_at = models.DateTimeField(null=True, blank=True, help_text="Since when it is paused; empty: it is not.")
    ends_at = models.DateTimeField(null=True, blank=True, help_text="When it ends by itself; empty: never.")
    pending_plan = models.ForeignKey(
        Plan,
        null=True,
        blank=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="The plan from the next period on; empty: the same.",
    )
    pending_interval = models.CharField(
        max_length=7, blank=True, choices=BillingInterval.choices, help_text="Length of a period from then on."
    )
    pending_credits = models.DecimalField(
        max_digits=15, decimal_places=6, null=True, blank=True, help_text="Credits of each period from then on."
    )
    pending_rollover_cap = models.DecimalField(
        max_digits=15, decimal_places=6, null=True, blank=True, help_text="Most credits that stay from then on."
    )

    class Meta:
        permissions: ClassVar = [
            ("export_subscription", "Can export subscriptions"),
            ("start_subscription", "Can start subscriptions"),
            ("change_plan_subscription", "Can change the plan of subscriptions"),
            ("pause_subscription", "Can pause and resume subscriptions"),
            ("cancel_subscription", "Can cancel subscriptions"),
        ]
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
            models.CheckConstraint(
                condition=Q(pending_plan__isnull=True, pending_credits__isnull=True, pending_interval="")
                | Q(pending_plan__isnull=False, pending_credits__gte=0) & ~Q(pending_interval=""),
                name="subscription_change_is_whole",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.user} on {self.plan} ({self.status})"
