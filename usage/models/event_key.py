"""Which events are in already."""

from __future__ import annotations

from django.conf import settings
from django.db import models
from django.db.models.functions import Now


class EventKey(models.Model):
    """One event that was recorded; outlives the request itself, so a late repetition is still known."""

    pk = models.CompositePrimaryKey("user", "event_key")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The customer.",
    )
    event_key = models.BinaryField(help_text="SHA-256 of the event's source and id.")
    recorded_at = models.DateTimeField(db_default=Now(), help_text="When it was reported.")

    def __str__(self) -> str:
        return bytes(self.event_key).hex()[:12]
