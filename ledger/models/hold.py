"""Holds: credits set aside for work that has begun and not yet ended."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import ClassVar

from django.db import models
from django.db.models import Case, F, Q, Value, When

from accounts.models import ApiKey
from accounts.models.customer_key import customer_key


class HoldStatus(models.TextChoices):
    OPEN = "open", "Open"
    CAPTURED = "captured", "Captured"
    RELEASED = "released", "Released"
    EXPIRED = "expired", "Expired"


class HoldQuerySet(models.QuerySet["Hold"]):
    def of(self, user_id: int) -> HoldQuerySet:
        return self.filter(user_id=user_id)

    def with_status(self, status: str, now: dt.datetime) -> HoldQuerySet:
        """Filter by the status as of now: an expired hold is expired, even if its row still says open."""
        match status:
            case HoldStatus.OPEN:
                return self.filter(status=HoldStatus.OPEN, expires_at__gt=now)
            case HoldStatus.EXPIRED:
                return self.filter(Q(status=HoldStatus.EXPIRED) | _run_out(now))
        return self.filter(status=status)

    def as_of(self, now: dt.datetime) -> HoldQuerySet:
        """Add `status_now` and `settled_at_now`, which do not wait for a job to settle expired holds."""
        return self.annotate(
            status_now=Case(When(_run_out(now), then=Value(HoldStatus.EXPIRED)), default=F("status")),
            settled_at_now=Case(When(_run_out(now), then=F("expires_at")), default=F("settled_at")),
        )

    def newest_first(self) -> HoldQuerySet:
        return self.order_by("-id")


def _run_out(now: dt.datetime) -> Q:
    return Q(status=HoldStatus.OPEN, expires_at__lte=now)


class Hold(models.Model):
    """One hold: opened, then exactly one of captured, released or expired."""

    user = customer_key(related_name="holds", db_constraint=False)
    credits = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits set aside when it was opened.")
    captured = models.DecimalField(
        max_digits=15, decimal_places=6, db_default=Decimal(0), help_text="Credits of it spent so far."
    )
    status = models.CharField(
        max_length=8, choices=HoldStatus.choices, db_default=HoldStatus.OPEN, help_text="Where it stands."
    )
    expires_at = models.DateTimeField(help_text="From this time it holds nothing, whether or not a job has run.")
    reference = models.CharField(max_length=255, null=True, help_text="The caller's own name for the work.")
    metadata = models.JSONField(db_default={}, help_text="Whatever the caller wants to keep with it.")
    api_key = models.ForeignKey(
        ApiKey,
        null=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The customer's key that it was opened by, when known.",
    )
    purpose = models.JSONField(
        null=True, help_text="What metering finds again at the capture: endpoint, units, method."
    )
    idempotency_key = models.CharField(max_length=255, help_text="The caller's name for this very hold.")
    fingerprint = models.BinaryField(help_text="SHA-256 of what was asked under that key.")
    created_at = models.DateTimeField(help_text="When it was opened.")
    settled_at = models.DateTimeField(null=True, help_text="When it was captured, released or had expired.")

    objects = HoldQuerySet.as_manager()

    class Meta:
        permissions: ClassVar = [
            ("export_hold", "Can export holds"),
            ("release_hold", "Can release a customer's open holds"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="hold_key_is_used_once"),
            models.CheckConstraint(
                name="hold_captures_at_most_what_it_holds",
                condition=Q(credits__gte=0) & Q(captured__gte=0) & Q(captured__lte=F("credits")),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "expires_at"], name="open_holds_by_expiry", condition=Q(status="open")),
            models.Index(fields=["user", "id"], name="holds_of_user"),
            # Most holds are captured, so released and expired ones are hard to find among them.
            models.Index(
                fields=["user", "status", "id"],
                name="holds_given_back",
                condition=Q(status__in=["expired", "released"]),
            ),
        ]

    def __str__(self) -> str:
        return f"hold {self.pk} of {self.credits:f} ({self.status})"

    def status_at(self, now: dt.datetime) -> HoldStatus:
        """Return the status at `now`, without waiting for a job to settle an expired hold."""
        if self.status == HoldStatus.OPEN and self.expires_at <= now:
            return HoldStatus.EXPIRED
        return HoldStatus(self.status)
