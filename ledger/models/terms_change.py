"""Changes of spending terms: whether a balance is frozen, and how far it may be overdrawn."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from accounts.models.customer_key import customer_key


class TermsKind(models.TextChoices):
    FREEZE = "freeze", "Frozen"
    UNFREEZE = "unfreeze", "Unfrozen"
    OVERDRAFT = "overdraft", "Overdraft limit"


class TermsChange(models.Model):
    """One change of the terms on which a customer may spend; written with the balance by the ledger's SQL functions."""

    user = customer_key(related_name="terms_changes")
    kind = models.CharField(max_length=10, choices=TermsKind.choices, help_text="What was done.")
    limit_before = models.DecimalField(
        max_digits=15, decimal_places=6, null=True, help_text="The overdraft limit that was replaced, in credits."
    )
    limit_after = models.DecimalField(
        max_digits=15, decimal_places=6, null=True, help_text="The overdraft limit in its place, in credits."
    )
    note = models.TextField(help_text="Why: for the staff alone.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        related_name="+",
        help_text="Who of the staff did it; empty: nobody, it follows from the rules.",
    )
    idempotency_key = models.CharField(max_length=255, help_text="The caller's name for this very change.")
    fingerprint = models.BinaryField(help_text="SHA-256 of what was asked under that key.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When.")

    class Meta:
        verbose_name = "change of terms"
        verbose_name_plural = "changes of terms"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="terms_key_is_used_once"),
            models.CheckConstraint(
                condition=models.Q(
                    kind__in=[TermsKind.FREEZE, TermsKind.UNFREEZE], limit_before__isnull=True, limit_after__isnull=True
                )
                | models.Q(kind=TermsKind.OVERDRAFT, limit_before__gte=0, limit_after__gte=0)
                & ~models.Q(limit_after=models.F("limit_before")),
                name="terms_change_says_what_changed",
            ),
            models.CheckConstraint(condition=~models.Q(note=""), name="terms_change_says_why"),
        ]

    def __str__(self) -> str:
        return f"{TermsKind(self.kind).label}, {self.created_at:%Y-%m-%d %H:%M}"
