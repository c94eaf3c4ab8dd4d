"""Which months of the request log are gone."""

from __future__ import annotations

from django.db import models


class DroppedMonth(models.Model):
    """One month of the request log that was dropped; what was in it remains in the daily sums only.

    Written only by the owner's `usage_drop_month`. A month may be started again by a late import and dropped
    again later: the row then describes all that was dropped.
    """

    month = models.DateField(primary_key=True, help_text="Its first day.")
    dropped_at = models.DateTimeField(help_text="When it was last dropped.")
    requests = models.BigIntegerField(help_text="How many requests were dropped.")
    credits = models.DecimalField(max_digits=24, decimal_places=6, help_text="What they had cost.")
    first_entry_id = models.BigIntegerField(null=True, help_text="The first of the debits that paid for them.")
    last_entry_id = models.BigIntegerField(null=True, help_text="The last of the debits that paid for them.")

    def __str__(self) -> str:
        return f"{self.month:%Y-%m}"
