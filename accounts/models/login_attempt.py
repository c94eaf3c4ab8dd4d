"""Failed sign-ins, remembered for as long as they count against an account or an address."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.utils import timezone


class LoginAttempt(models.Model):
    """One sign-in that failed, or has not yet succeeded; a success takes its row away."""

    account = models.CharField(max_length=254, help_text="The email address tried, lower case, known or not.")
    address = models.GenericIPAddressField(
        null=True, blank=True, help_text="Where it came from; of IPv6 the /64 network."
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
