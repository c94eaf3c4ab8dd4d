"""Tables of the configuration itself: no business data."""

from __future__ import annotations

from django.db import models


class RateWindow(models.Model):
    """The number of calls of one caller's current minute that are leased to processes.

    Written by config/http/rate_windows.py and, for charges and holds by an API key with a rate limit, by the SQL
    function usage_take_call (usage/sql/current/rate_limits.sql). The table is UNLOGGED: after a crash of the server
    every caller starts a new minute.
    """

    subject = models.CharField(
        primary_key=True, max_length=100, help_text="Whose calls: key:<id>, user:<id> or address:<address>."
    )
    minute = models.BigIntegerField(help_text="Which minute since 1970, by the database's clock.")
    taken = models.IntegerField(help_text="Calls leased in that minute; may exceed the limit by refused leases.")

    def __str__(self) -> str:
        return self.subject
