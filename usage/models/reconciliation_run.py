"""The runs of reconciliation."""

from __future__ import annotations

from typing import ClassVar

from django.db import models


class ReconciliationRun(models.Model):
    """One finished run of `reconcile`."""

    started_at = models.DateTimeField(help_text="When it began; it looked at the data of this time.")
    finished_at = models.DateTimeField(help_text="When it was done.")
    is_full = models.BooleanField(help_text="Whether it looked at everybody and everything.")
    findings = models.IntegerField(help_text="How many broken promises it found, and left.")
    report = models.JSONField(help_text="What it looked at, and the first findings.")

    class Meta:
        permissions: ClassVar = [("start_reconciliation", "Can start a run of reconciliation")]
        indexes: ClassVar = [
            models.Index(fields=["-finished_at"], name="full_runs_newest_first", condition=models.Q(is_full=True)),
        ]

    def __str__(self) -> str:
        return f"{self.finished_at:%Y-%m-%d %H:%M} UTC: {self.findings} finding{'' if self.findings == 1 else 's'}"
