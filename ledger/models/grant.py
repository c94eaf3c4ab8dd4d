"""Grants: credits that were bought or granted at one time, and what is left of them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Q, Value, When

from accounts.models.customer_key import customer_key
from ledger.models.entry import Entry

FIRST_PRIORITY, USUAL_PRIORITY, LAST_PRIORITY = 0, 50, 100


class GrantCategory(models.TextChoices):
    PAID = "paid", "Paid"
    PROMOTIONAL = "promotional", "Promotional"


class GrantStatus(models.TextChoices):
    ACTIVE = "active", "Active"
    USED = "used", "Used"
    EXPIRED = "expired", "Expired"


class GrantQuerySet(models.QuerySet["Grant"]):
    def of(self, user_id: int) -> GrantQuerySet:
        return self.filter(user_id=user_id)

    def as_of(self, now: dt.datetime) -> GrantQuerySet:
        """Add `status_now`: used when all of it was spent, expired after its expiry if something was left."""
        return self.annotate(
            status_now=Case(
                When(Q(expired__gt=0) | Q(remaining__gt=0, expires_at__lte=now), then=Value(GrantStatus.EXPIRED)),
                When(remaining=0, then=Value(GrantStatus.USED)),
                default=Value(GrantStatus.ACTIVE),
            )
        )

    def newest_first(self) -> GrantQuerySet:
        return self.order_by("-entry_id")


class Grant(models.Model):
    """The credits that one entry brought, and what is left of them as of `GrantProgress.seq`.

    Spent by priority, then soonest expiry, promotional before paid, effective first, id. Which debits used it is
    settled when something asks or expires, never by a charge (docs/decisions/0031).
    """

    entry = models.OneToOneField(
        Entry,
        primary_key=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        related_name="grant",
        help_text="The entry that brought the credits; its id is the grant's too.",
    )
    user = customer_key(related_name="grants", db_constraint=False)
    seq = models.BigIntegerField(help_text="The entry's place in the customer's ledger.")
    amount = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits that it began with.")
    remaining = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits neither spent nor expired.")
    expired = models.DecimalField(
        max_digits=15, decimal_places=6, db_default=Decimal(0), help_text="Credits of it that expired unspent."
    )
    category = models.CharField(max_length=11, choices=GrantCategory.choices, help_text="Bought, or given.")
    priority = models.SmallIntegerField(
        db_default=USUAL_PRIORITY, help_text="0 to 100; grants of a lower number are spent first."
    )
    effective_at = models.DateTimeField(help_text="Since when it counts; of like grants the earlier is spent first.")
    expires_at = models.DateTimeField(null=True, help_text="From this time what is left is gone; empty: never.")
    has_run_out = models.BooleanField(
        db_default=False, help_text="Its time has come; what remains is only what open holds had reserved."
    )
    ran_out_seq = models.BigIntegerField(
        null=True, help_text="Place of the last entry made before its time had come; empty: it has not."
    )
    expired_at = models.DateTimeField(null=True, help_text="When some of it expired last.")
    created_at = models.DateTimeField(help_text="When the entry was made.")

    objects = GrantQuerySet.as_manager()

    class Meta:
        permissions: ClassVar = [
            ("end_grant", "Can end a customer's grant early"),
            ("extend_grant", "Can let a customer's grant end later"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "entry"], name="grant_is_opened_once_per_entry"),
            models.CheckConstraint(
                name="grant_parts_fit_amount",
                condition=Q(amount__gt=0)
                & Q(remaining__gte=0)
                & Q(expired__gte=0)
                & Q(amount__gte=F("remaining") + F("expired"))
                & Q(priority__gte=FIRST_PRIORITY)
                & Q(priority__lte=LAST_PRIORITY)
                & (Q(expires_at__isnull=True) | Q(expires_at__gt=F("effective_at"))),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "expires_at"], name="grants_by_expiry", condition=Q(expires_at__isnull=False)),
            models.Index(
                F("user"),
                F("priority"),
                F("expires_at"),
                F("category").desc(),
                F("effective_at"),
                F("entry"),
                name="grants_in_order_of_spending",
                condition=Q(remaining__gt=0),
            ),
            models.Index(
                fields=["user", "expires_at"],
                name="grants_left_by_expiry",
                condition=Q(expires_at__isnull=False, remaining__gt=0),
            ),
        ]

    def __str__(self) -> str:
        return f"grant {self.pk} of {self.amount:f}, {self.remaining:f} left"


class GrantDraw(models.Model):
    """A run of debits that used one grant: one after another, all but the first and the last wholly from it.

    Negative credits were restored to the grant by a refund; an expiry uses what is left; a row at the grant's own
    place paid for what was overdrawn before.
    """

    user = customer_key(db_constraint=False)
    grant = models.ForeignKey(
        Grant,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="draws",
        help_text="The grant.",
    )
    first_seq = models.BigIntegerField(help_text="Place of the first entry that used it.")
    last_seq = models.BigIntegerField(help_text="Place of the last entry of the run.")
    first_credits = models.DecimalField(
        max_digits=15, decimal_places=6, help_text="Credits of it that the first entry used."
    )
    last_credits = models.DecimalField(
        max_digits=15, decimal_places=6, help_text="Credits of it that the last entry used."
    )
    credits = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits of it that all of them used.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "last_seq", "grant"], name="grant_is_drawn_once_per_entry"),
            models.CheckConstraint(name="draw_is_a_run", condition=Q(first_seq__lte=F("last_seq"))),
        ]

    def __str__(self) -> str:
        return f"{self.credits:f} of grant {self.grant_id} by entries {self.first_seq} to {self.last_seq}"


class GrantProgress(models.Model):
    """How far one customer's grants are settled: all entries up to `seq` have used them."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        primary_key=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        related_name="grant_progress",
        help_text="The customer.",
    )
    seq = models.BigIntegerField(help_text="Place of the last entry that was settled.")
    overdrawn = models.DecimalField(
        max_digits=15,
        decimal_places=6,
        help_text="Credits that debits took beyond all grants; the next grants pay them.",
    )

    class Meta:
        verbose_name_plural = "progress of grants"

    def __str__(self) -> str:
        return f"grants of customer {self.user_id} as of entry {self.seq}"
