"""Failed sign-ins, kept for as long as they count, and addresses from which people have signed in."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone

from accounts.models.user import User


class LoginAttempt(models.Model):
    """One sign-in that failed or is in progress; a success deletes the row."""

    account = models.CharField(max_length=254, help_text="The email address tried, lower case, known or not.")
    address = models.GenericIPAddressField(
        null=True, blank=True, help_text="Where it came from; of IPv6 the /64 network."
    )
    device = models.CharField(
        max_length=32, blank=True, default="", help_text="The browser of an earlier sign-in; empty: any other."
    )
    attempted_at = models.DateTimeField(default=timezone.now, help_text="When.")

    class Meta:
        indexes: ClassVar = [
            models.Index(fields=["account", "attempted_at"], name="attempts_on_account"),
            models.Index(fields=["address", "attempted_at"], name="attempts_from_address"),
            models.Index(fields=["attempted_at"], name="attempts_by_age"),
        ]

    def __str__(self) -> str:
        return f"{self.account} at {self.attempted_at:%Y-%m-%d %H:%M:%S}"


class SignInPlace(models.Model):
    """One address from which a person has signed in: guesses from elsewhere do not lock the person out there."""

    user = models.ForeignKey(User, on_delete=models.CASCADE, db_index=False, related_name="+", help_text="Who.")
    address = models.GenericIPAddressField(help_text="From where; of IPv6 the /64 network.")
    last_used_at = models.DateTimeField(help_text="When last, kept to the day.")

    class Meta:
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "address"], name="a_place_is_remembered_once"),
        ]
        indexes: ClassVar = [models.Index(fields=["last_used_at"], name="places_by_age")]

    def __str__(self) -> str:
        return f"{self.user_id} at {self.address}"
