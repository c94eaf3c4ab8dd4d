"""Entries: every change of a balance, kept for ever."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models import F, Q

from accounts.models.customer_key import customer_key
from config.values.credits import LARGEST


class EntryType(models.TextChoices):
    CREDIT = "credit", "Credit"
    DEBIT = "debit", "Debit"
    ADJUSTMENT = "adjustment", "Adjustment"


class EntryReason(models.TextChoices):
    PURCHASE = "purchase", "Purchase"
    GRANT = "grant", "Grant"
    AUTO_RELOAD = "auto_reload", "Auto-reload"
    USAGE = "usage", "Usage"
    CAPTURE = "capture", "Captured hold"
    REFUND = "refund", "Refund of usage"
    REVERSAL = "reversal", "Reversal of usage"  # credits that staff return for a debit; a refund is the gateway's
    EXPIRY = "expiry", "Expired credits"
    GOODWILL = "goodwill", "Goodwill"
    CORRECTION = "correction", "Correction"
    CHARGEBACK = "chargeback", "Chargeback"


class AdjustmentReason(models.TextChoices):
    """Why staff may adjust a balance."""

    GOODWILL = "goodwill", "Goodwill"
    CORRECTION = "correction", "Correction"
    CHARGEBACK = "chargeback", "Chargeback"


class EntryQuerySet(models.QuerySet["Entry"]):
    def of(self, user_id: int) -> EntryQuerySet:
        return self.filter(user_id=user_id)

    def newest_first(self) -> EntryQuerySet:
        return self.order_by("-seq")


class Entry(models.Model):
    """One change of one customer's balance; never altered, never removed.

    Foreign keys here are not enforced by the database (docs/decisions/0002): only the ledger's SQL
    functions write this table, always together with the balance row, whose key is enforced.
    """

    id = models.BigAutoField(primary_key=True, help_text="Names the entry in the API.")
    user = customer_key(related_name="entries", db_constraint=False)
    seq = models.BigIntegerField(help_text="Place in the customer's ledger: 1, 2, 3 … without gaps.")
    type = models.CharField(max_length=10, choices=EntryType.choices, help_text="Credit, debit or adjustment.")
    reason = models.CharField(max_length=11, choices=EntryReason.choices, help_text="Why the balance changed.")
    amount = models.DecimalField(
        max_digits=15, decimal_places=6, help_text="Signed credits: what was added to the balance."
    )
    balance_after = models.DecimalField(
        max_digits=15, decimal_places=6, help_text="The previous entry's balance_after plus amount."
    )
    description = models.TextField(help_text="What happened, for people.")
    reference = models.CharField(
        max_length=255, null=True, help_text="Payment id, request id or the like; empty: none."
    )
    metadata = models.JSONField(db_default={}, help_text="Whatever the caller wants to keep with it.")
    operation = models.CharField(max_length=20, help_text="Which operation made it; its idempotency keys are its own.")
    idempotency_key = models.CharField(max_length=255, help_text="The caller's name for this very change.")
    fingerprint = models.BinaryField(help_text="SHA-256 of what was asked under that key.")
    reverses = models.ForeignKey(
        "self",
        null=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="reversals",
        help_text="The entry that this one takes back, wholly or in part.",
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="Who of the staff made it; empty: nobody by hand.",
    )
    created_at = models.DateTimeField(help_text="When; never earlier than the entry before it.")
    seal = models.BinaryField(help_text="SHA-256 over the previous entry's seal and this entry's own fields.")

    objects = EntryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "entries"
        permissions: ClassVar = [
            ("adjust_credits", "Can adjust a customer's credits by hand"),
            ("export_entry", "Can export entries"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "seq"], name="entry_seq_is_gapless_per_user"),
            models.UniqueConstraint(
                fields=["user", "operation", "idempotency_key"], name="entry_key_is_used_once_per_operation"
            ),
            models.CheckConstraint(
                name="entry_sign_fits_type",
                condition=(
                    Q(type=EntryType.CREDIT, amount__gt=0)
                    | Q(type=EntryType.DEBIT, amount__lt=0)
                    | (Q(type=EntryType.ADJUSTMENT) & ~Q(amount=0))
                )
                & Q(seq__gt=0)
                & Q(amount__lte=LARGEST),  # the column's own bound, repeated to exclude NaN
            ),
        ]
        indexes: ClassVar = [
            models.Index(
                fields=["user", "reference"], name="entries_by_reference", condition=Q(reference__isnull=False)
            ),
            # Nearly all entries are debits, so this index stays small and charges hardly touch it.
            models.Index(
                F("user"), F("type"), F("seq"), name="entries_that_are_not_debits", condition=~Q(type=EntryType.DEBIT)
            ),
            # For the back office, over all customers; docs/performance.md has what they cost a charge.
            BrinIndex(fields=["created_at"], name="entries_by_time", autosummarize=True, pages_per_range=32),
            models.Index(
                fields=["reason", "id"],
                name="entries_that_are_not_usage",
                condition=~Q(reason__in=[EntryReason.USAGE, EntryReason.CAPTURE]),
            ),
            models.Index(fields=["reverses"], name="entries_by_what_they_reverse", condition=Q(reverses__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"#{self.seq} {self.reason} {self.amount:+f}"


def entry_key(*, help_text: str, related_name: str = "+") -> models.ForeignKey[Entry | None, Entry | None]:
    """Return the foreign key of a row to its entry, if any; the database does not check it (docs/decisions/0002)."""
    return models.ForeignKey(
        Entry,
        null=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name=related_name,
        help_text=help_text,
    )
