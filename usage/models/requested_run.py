"""Runs of reconciliation that staff asked for."""

from __future__ import annotations

import datetime as dt
from typing import ClassVar

from django.conf import settings
from django.db import models
from django.db.models.functions import Now

from usage.models.reconciliation_run import ReconciliationRun

MOST_ATTEMPTS = 3


class RequestedRun(models.Model):
    """One run that a member of staff started from the page; a job carries it out. At most one waits or runs."""

    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.PROTECT,
        db_index=False,
        related_name="+",
        help_text="Who started it.",
    )
    idempotency_key = models.CharField(max_length=255, unique=True, help_text="The name of this very start.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When it was asked for.")
    attempts = models.IntegerField(db_default=0, help_text="How often a job began it: again if a job was killed.")
    started_at = models.DateTimeField(null=True, help_text="When a job began it last; empty: it waits.")
    checks_done = models.IntegerField(db_default=0, help_text="How many checks are done.")
    checks_total = models.IntegerField(db_default=0, help_text="How many checks there are.")
    finished_at = models.DateTimeField(null=True, help_text="When it ended; empty: it waits or runs.")
    run = models.OneToOneField(
        ReconciliationRun,
        null=True,
        on_delete=models.PROTECT,
        related_name="request",
        help_text="What it found; empty: not yet, or it failed.",
    )
    failure = models.TextField(db_default="", help_text="Why it could not be carried out.")

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(
                models.Value(1),
                condition=models.Q(finished_at__isnull=True),
                name="one_requested_run_at_a_time",
            ),
            models.CheckConstraint(
                name="requested_run_has_ended_somehow",
                condition=models.Q(finished_at__isnull=True, run__isnull=True, failure="")
                | models.Q(finished_at__isnull=False, run__isnull=False, failure="")
                | models.Q(finished_at__isnull=False, run__isnull=True) & ~models.Q(failure=""),
            ),
        ]

    def __str__(self) -> str:
        return f"Run asked for at {self.created_at:%Y-%m-%d %H:%M} UTC"

    def seconds(self, now: dt.datetime) -> int | None:
        """Return for how many seconds it has been running; None: it waits."""
        return None if self.started_at is None else max(0, int((now - self.started_at).total_seconds()))
