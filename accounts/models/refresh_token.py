"""The stored state of refresh tokens: which were exchanged, and which families were revoked."""

from __future__ import annotations

import uuid
from typing import ClassVar

from django.db import models
from django.utils import timezone

from accounts.models.user import User


class TokenFamily(models.Model):
    """One sign-in and all refresh tokens that descend from it."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    user = models.ForeignKey(User, on_delete=models.CASCADE, help_text="Who signed in.")
    created_at = models.DateTimeField(default=timezone.now, help_text="When.")
    expires_at = models.DateTimeField(
        db_index=True, help_text="When the last of its tokens ends; then it may be purged."
    )
    revoked_at = models.DateTimeField(null=True, blank=True, help_text="From then on none of its tokens is taken.")

    class Meta:
        verbose_name_plural = "token families"

    def __str__(self) -> str:
        return str(self.id)


class SpentRefreshToken(models.Model):
    """One refresh token that was exchanged; its unique insert decides which of many exchanges wins."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, help_text="Whose token it was.")
    family = models.ForeignKey(TokenFamily, on_delete=models.CASCADE, help_text="The sign-in it came from.")
    jti = models.CharField(max_length=64, help_text="The token's own id.")
    spent_at = models.DateTimeField(default=timezone.now, help_text="When it was exchanged.")
    expires_at = models.DateTimeField(
        db_index=True, help_text="When the token would have ended; then this row may be purged."
    )

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "jti"], name="a_refresh_token_is_spent_once"),
        ]

    def __str__(self) -> str:
        return self.jti
