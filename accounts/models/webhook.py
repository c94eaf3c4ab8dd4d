"""Outgoing webhooks: customers' endpoints, the deliveries to them, and each attempt."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.fields import ArrayField
from django.db import models
from django.db.models import Q

from accounts.models.notice import Notice
from accounts.models.user import User

LONGEST_URL = 2048


class DisabledReason(models.TextChoices):
    CUSTOMER = "customer", "The customer turned it off"
    FAILING = "failing", "Nothing could be delivered for five days"
    GONE = "gone", "It answered 410 Gone"


class WebhookEndpointQuerySet(models.QuerySet["WebhookEndpoint"]):
    def of(self, user_id: int) -> WebhookEndpointQuerySet:
        """Narrow to a customer's endpoints, without deleted ones."""
        return self.filter(user_id=user_id, deleted_at=None)

    def newest_first(self) -> WebhookEndpointQuerySet:
        return self.order_by("-id")


class WebhookEndpoint(models.Model):
    """One URL of a customer that notices are delivered to."""

    user = models.ForeignKey(
        User, on_delete=models.PROTECT, db_index=False, related_name="webhook_endpoints", help_text="Whose it is."
    )
    url = models.CharField(max_length=LONGEST_URL, help_text="Where notices are posted to.")
    description = models.CharField(max_length=200, blank=True, help_text="What its owner calls it; may be empty.")
    event_types = ArrayField(
        models.CharField(max_length=64), default=list, blank=True, help_text="Types it is told; empty: all."
    )
    secret = models.CharField(max_length=100, help_text="What signs each message, as whsec_… (Standard Webhooks).")
    old_secret = models.CharField(
        max_length=100, null=True, help_text="The one before, which signs as well for a day after the change."
    )
    old_secret_until = models.DateTimeField(null=True, help_text="Until when the one before signs as well.")
    is_active = models.BooleanField(default=True, help_text="Whether it is told anything.")
    disabled_at = models.DateTimeField(null=True, help_text="When it was turned off; empty: it is on.")
    disabled_reason = models.CharField(
        max_length=10, choices=DisabledReason.choices, null=True, help_text="Why it was turned off."
    )
    failing_since = models.DateTimeField(
        null=True, help_text="When the first attempt failed of those since the last that did not."
    )
    created_at = models.DateTimeField(help_text="When it was made.")
    deleted_at = models.DateTimeField(null=True, help_text="When its owner deleted it; it goes with its deliveries.")

    objects = WebhookEndpointQuerySet.as_manager()

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(is_active=True, disabled_at__isnull=True, disabled_reason__isnull=True)
                | Q(is_active=False, disabled_at__isnull=False, disabled_reason__in=DisabledReason.values),
                name="an_endpoint_that_is_off_says_since_when_and_why",
            ),
            models.CheckConstraint(
                condition=Q(deleted_at__isnull=True) | Q(is_active=False), name="a_deleted_endpoint_is_off"
            ),
            models.CheckConstraint(
                condition=Q(old_secret__isnull=True, old_secret_until__isnull=True)
                | Q(old_secret__isnull=False, old_secret_until__isnull=False),
                name="an_old_secret_ends",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "id"], name="endpoints_of_user"),
            models.Index(fields=["id"], name="endpoints_that_are_on", condition=Q(is_active=True)),
        ]

    def __str__(self) -> str:
        return self.url


class DeliveryState(models.TextChoices):
    PENDING = "pending", "Pending"
    DELIVERED = "delivered", "Delivered"
    FAILED = "failed", "Failed"


class WebhookDelivery(models.Model):
    """One notice for one endpoint."""

    user = models.ForeignKey(
        User, on_delete=models.PROTECT, db_index=False, related_name="+", help_text="The endpoint's owner."
    )
    endpoint = models.ForeignKey(
        WebhookEndpoint, on_delete=models.PROTECT, db_index=False, related_name="deliveries", help_text="Where to."
    )
    notice = models.ForeignKey(Notice, on_delete=models.PROTECT, related_name="deliveries", help_text="What.")
    state = models.CharField(
        max_length=10, choices=DeliveryState.choices, default=DeliveryState.PENDING, help_text="Where it stands."
    )
    attempts = models.IntegerField(default=0, help_text="How often it was tried in all.")
    failures = models.SmallIntegerField(default=0, help_text="Failed attempts since it was last sent, or sent again.")
    due_since = models.DateTimeField(help_text="When it was last sent, or sent again by somebody.")
    resent_at = models.DateTimeField(null=True, help_text="When its owner last had it sent again; empty: never.")
    next_attempt_at = models.DateTimeField(null=True, help_text="When it is tried next; empty: not any more.")
    claim = models.UUIDField(
        null=True, help_text="The worker that attempts it now; if it is not heard of, another makes the next attempt."
    )
    last_status = models.IntegerField(null=True, help_text="HTTP status of the last answer; empty: none came.")
    last_error = models.CharField(max_length=200, null=True, help_text="Why the last attempt failed.")
    created_at = models.DateTimeField(help_text="When it was to be delivered first.")
    delivered_at = models.DateTimeField(null=True, help_text="When the endpoint last took it.")

    class Meta:
        verbose_name_plural = "webhook deliveries"
        permissions: ClassVar = [("resend_webhookdelivery", "Can send a webhook delivery again")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "endpoint", "notice"], name="an_endpoint_is_told_once"),
            models.CheckConstraint(
                condition=Q(state="pending", next_attempt_at__isnull=False)
                | Q(state__in=["delivered", "failed"], next_attempt_at__isnull=True, claim__isnull=True),
                name="a_pending_delivery_has_a_next_attempt",
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["endpoint", "id"], name="deliveries_of_endpoint"),
            models.Index(
                fields=["next_attempt_at", "endpoint"], name="deliveries_by_next_attempt", condition=Q(state="pending")
            ),
            models.Index(fields=["created_at"], name="deliveries_by_age"),
            models.Index(fields=["created_at"], name="deliveries_given_up", condition=Q(state="failed")),
            models.Index(
                fields=["user", "resent_at"], name="deliveries_sent_again", condition=Q(resent_at__isnull=False)
            ),
        ]

    def __str__(self) -> str:
        return f"delivery {self.pk} ({self.state})"


class WebhookAttempt(models.Model):
    """One attempt at a delivery and its outcome; never changed, deleted with its delivery."""

    user = models.ForeignKey(
        User, on_delete=models.PROTECT, db_index=False, related_name="+", help_text="The endpoint's owner."
    )
    delivery = models.ForeignKey(
        WebhookDelivery, on_delete=models.CASCADE, related_name="log", help_text="What was tried."
    )
    at = models.DateTimeField(help_text="When it began.")
    url = models.CharField(max_length=LONGEST_URL, help_text="Where it went.")
    status = models.IntegerField(null=True, help_text="HTTP status of the answer; empty: none came.")
    error = models.CharField(max_length=200, null=True, help_text="Why it failed; empty: it did not.")
    milliseconds = models.IntegerField(help_text="How long it took.")
    answer = models.TextField(blank=True, help_text="The first kibibyte of the answer.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(
                condition=Q(status__isnull=False) | Q(error__isnull=False), name="an_attempt_has_an_outcome"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.status or self.error} at {self.at:%Y-%m-%d %H:%M:%S}"
