"""Refunds of requests."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models.functions import Now

from accounts.models.customer_key import customer_key
from ledger.models import Entry


class Refund(models.Model):
    """One refund of one request, at the time and endpoint of that request: it is deducted from their statistics.

    Written only by SQL functions, never altered. It outlives the request's row in the log.
    """

    entry = models.OneToOneField(
        Entry,
        primary_key=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        related_name="+",
        help_text="The credit that gave it back.",
    )
    user = customer_key(db_constraint=False)
    charge = models.ForeignKey(
        Entry,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The debit that is taken back; the request has the same id.",
    )
    endpoint = models.CharField(max_length=200, help_text="The endpoint that the request is counted under.")
    credits = models.DecimalField(max_digits=15, decimal_places=6, help_text="Credits given back.")
    occurred_at = models.DateTimeField(help_text="When the request was made.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When it was given back.")

    class Meta:
        constraints: ClassVar = [
            models.CheckConstraint(name="refund_gives_something_back", condition=models.Q(credits__gt=0)),
        ]
        indexes: ClassVar = [models.Index(fields=["user", "occurred_at"], name="refunds_of_user_by_time")]

    def __str__(self) -> str:
        return f"{self.credits:f} of {self.charge_id}"
