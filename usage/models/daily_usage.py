"""Daily sums of requests, from which statistics are read."""

from __future__ import annotations

from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models

from accounts.models.customer_key import customer_key


class DailyUsage(models.Model):
    """One customer's requests of one endpoint on one UTC day; kept in the statement that logs the request."""

    pk = models.CompositePrimaryKey("user", "day", "endpoint")
    user = customer_key(db_constraint=False)
    day = models.DateField(help_text="The UTC day on which the requests occurred.")
    endpoint = models.CharField(max_length=200, help_text="The price's endpoint.")
    successful = models.BigIntegerField(help_text="Requests with a status below 400.")
    failed = models.BigIntegerField(help_text="Requests with a status of 400 and above that were not rejected.")
    rejected = models.BigIntegerField(help_text="Requests refused before any work: 401, 402, 429.")
    credits = models.DecimalField(max_digits=24, decimal_places=6, help_text="Credits charged, less refunds.")

    class Meta:
        verbose_name_plural = "daily usage"
        indexes: ClassVar = [BrinIndex(fields=["day"], name="sums_by_day", autosummarize=True)]

    def __str__(self) -> str:
        return f"{self.day} {self.endpoint}"
