"""The keys of imported lines."""

from __future__ import annotations

from django.db import models

from accounts.models.customer_key import customer_key


class ImportedLine(models.Model):
    """One line of a gateway's log that was imported; outlives the request itself."""

    pk = models.CompositePrimaryKey("source", "line_key")
    source = models.CharField(max_length=100, help_text="The log's name, given by the operator.")
    line_key = models.BinaryField(help_text="SHA-256 of the line's text and its ordinal among identical lines.")
    user = customer_key(db_constraint=False)
    occurred_at = models.DateTimeField(help_text="When the request was made.")
    is_charged = models.BooleanField(
        null=True, help_text="Whether it was recorded by an import that charges; empty: by one that did not say."
    )

    def __str__(self) -> str:
        return f"{self.source} {bytes(self.line_key).hex()[:12]}"
