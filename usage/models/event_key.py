"""The keys of recorded events."""

from __future__ import annotations

from django.db import models
from django.db.models.functions import Now

from accounts.models.customer_key import customer_key


class EventKey(models.Model):
    """One event that was recorded; outlives the request itself, so a late repetition is still known."""

    pk = models.CompositePrimaryKey("user", "event_key")
    user = customer_key(db_constraint=False)
    event_key = models.BinaryField(help_text="SHA-256 of the event's source and id.")
    recorded_at = models.DateTimeField(db_default=Now(), help_text="When it was reported.")

    def __str__(self) -> str:
        return bytes(self.event_key).hex()[:12]
