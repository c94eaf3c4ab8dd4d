"""The request log."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from django.contrib.postgres.indexes import BrinIndex
from django.db import models
from django.db.models.functions import Now

from accounts.models import ApiKey
from accounts.models.customer_key import customer_key
from ledger.models.entry import entry_key
from usage.models.outcomes import Outcome, outcome_of
from usage.models.price import Price


class RequestLog(models.Model):
    """One request of one customer, as it happened; never altered, dropped only by whole months.

    The table is partitioned by month of `occurred_at` and created in SQL; partitions are created on demand. Foreign
    keys are not enforced by the database, as in the ledger's entries (docs/decisions/0002).
    """

    id = models.BigAutoField(primary_key=True, help_text="Names the request, and its charge, for ever.")
    user = customer_key(related_name="requests", db_constraint=False)
    api_key = models.ForeignKey(
        ApiKey,
        null=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The customer's key that the request came with, when known.",
    )
    endpoint = models.CharField(max_length=200, help_text="The price's endpoint, under which the request is counted.")
    path = models.TextField(help_text="The endpoint as it was reported.")
    method = models.CharField(max_length=10, blank=True, help_text="HTTP method, when reported.")
    status = models.SmallIntegerField(help_text="HTTP status; 401, 402 and 429 mean rejected before any work.")
    units = models.DecimalField(
        max_digits=15, decimal_places=6, db_default=Decimal(1), help_text="How much was asked for, in units of price."
    )
    credits = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits charged; 0: free or unpaid.")
    unpaid = models.BooleanField(db_default=False, help_text="It had a price that the customer could not pay.")
    price = models.ForeignKey(
        Price,
        null=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The price version that applied; empty: none was needed.",
    )
    entry = entry_key(related_name="requests", help_text="The debit that paid for it; a batch has one for many.")
    latency_ms = models.IntegerField(null=True, help_text="Duration in milliseconds, when reported.")
    request_id = models.UUIDField(null=True, help_text="The id given back to the gateway; empty for imports.")
    reference = models.CharField(max_length=255, null=True, help_text="The gateway's own name for the request.")
    metadata = models.JSONField(db_default={}, help_text="Whatever the gateway wants to keep with it.")
    source = models.CharField(
        max_length=255, blank=True, help_text="The log or event source that it came from; empty: charged live."
    )
    occurred_at = models.DateTimeField(help_text="When the request was made.")
    recorded_at = models.DateTimeField(db_default=Now(), help_text="When it was reported.")

    class Meta:
        verbose_name = "request"
        permissions: ClassVar = [("export_requestlog", "Can export requests")]
        indexes: ClassVar = [
            models.Index(fields=["user", "occurred_at", "id"], name="requests_of_user_by_time"),
            # For the back office, over all customers; a paid, successful request touches the first of them only.
            BrinIndex(fields=["occurred_at"], name="requests_by_time", autosummarize=True, pages_per_range=32),
            models.Index(fields=["occurred_at"], name="requests_that_failed", condition=models.Q(status__gte=400)),
            models.Index(fields=["occurred_at"], name="requests_never_paid", condition=models.Q(unpaid=True)),
        ]

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}".strip()

    @property
    def outcome(self) -> Outcome:
        return outcome_of(self.status)
