"""Which lines of which logs are in already."""

from __future__ import annotations

from django.conf import settings
from django.db import models


class ImportedLine(models.Model):
    """One line of a gateway's log that was imported; outlives the request itself."""

    pk = models.CompositePrimaryKey("source", "line_key")
    source = models.CharField(max_length=100, help_text="The log's name, given by the operator.")
    line_key = models.BinaryField(help_text="SHA-256 of the line's text and its ordinal among identical lines.")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The customer.",
    )
    occurred_at = models.DateTimeField(help_text="When the request was made.")
    is_charged = models.BooleanField(
        null=True, help_text="Whether it was recorded by an import that charges; empty: by one that did not say."
    )

    def __str__(self) -> str:
        return f"{self.source} {bytes(self.line_key).hex()[:12]}"
