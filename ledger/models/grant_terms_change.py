"""Changes of the end of grants by staff."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q

from accounts.models.customer_key import customer_key
from ledger.models.grant import Grant


class GrantTermsKind(models.TextChoices):
    END = "end", "Ended"
    EXTEND = "extend", "Extended"


class GrantTermsChange(models.Model):
    """One change of the end of a grant; written together with the grant by an SQL function."""

    user = customer_key(db_constraint=False)
    grant = models.ForeignKey(
        Grant,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="terms_changes",
        help_text="The grant.",
    )
    kind = models.CharField(max_length=6, choices=GrantTermsKind.choices, help_text="What was done.")
    expires_before = models.DateTimeField(null=True, help_text="The end that it had; empty: it would have stayed.")
    expires_after = models.DateTimeField(help_text="The end that it has got.")
    credits = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits that were left of it.")
    note = models.TextField(help_text="Why; of a grant that was ended, the customer reads it in the ledger.")
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="Who of the staff did it.",
    )
    idempotency_key = models.CharField(max_length=255, help_text="The caller's name for this very change.")
    fingerprint = models.BinaryField(help_text="SHA-256 of what was asked under that key.")
    created_at = models.DateTimeField(help_text="When.")

    class Meta:
        verbose_name = "change of a grant"
        verbose_name_plural = "changes of grants"
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="grant_terms_key_is_used_once"),
            models.CheckConstraint(
                condition=Q(kind=GrantTermsKind.END)
                | Q(kind=GrantTermsKind.EXTEND, expires_before__isnull=False, expires_after__gt=F("expires_before")),
                name="grant_terms_change_says_what_changed",
            ),
            models.CheckConstraint(condition=~Q(note="") & Q(credits__gt=0), name="grant_terms_change_says_why"),
        ]
        indexes: ClassVar = [models.Index(fields=["user", "grant", "id"], name="terms_changes_of_grant")]

    def __str__(self) -> str:
        return f"{GrantTermsKind(self.kind).label}, {self.created_at:%Y-%m-%d %H:%M}"
