"""Idempotency keys of operations that make no entry."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from accounts.models.customer_key import customer_key


class OperationKey(models.Model):
    """One such operation under its key: a charge of nothing, a release."""

    user = customer_key(db_constraint=False)
    operation = models.CharField(max_length=20, help_text="Which operation.")
    idempotency_key = models.CharField(max_length=255, help_text="The caller's name for this very call.")
    fingerprint = models.BinaryField(help_text="SHA-256 of what was asked under that key.")
    subject_id = models.BigIntegerField(help_text="What it made or changed: a request, a hold.")
    result = models.JSONField(db_default={}, help_text="The answer's immutable fields.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "operation", "idempotency_key"], name="operation_key_is_used_once_per_operation"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.idempotency_key}"
