"""Findings of reconciliation: each is a case that stays open until somebody closes it."""

from __future__ import annotations

from typing import ClassVar

from django.conf import settings
from django.db import models

from usage.models.reconciliation_run import ReconciliationRun

LONGEST_CHECK, LONGEST_SUBJECT = 80, 500


class ReconciliationFinding(models.Model):
    """One promise that did not hold of one subject; written by SQL functions alone, and never removed.

    It is open until somebody closes it with a note. If a run finds it again after that, it is open again.
    """

    check_name = models.CharField(max_length=LONGEST_CHECK, help_text="The promise: a check of `reconcile`.")
    subject = models.CharField(
        max_length=LONGEST_SUBJECT, help_text="Of whom and of what it does not hold: with the promise, its identity."
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="+",
        help_text="The customer; empty: nobody's alone.",
    )
    detail = models.TextField(help_text="What the latest run that found it said.")
    facts = models.JSONField(help_text="The figures behind it, as of that run.")
    found_at = models.DateTimeField(help_text="When it was found first.")
    last_found_at = models.DateTimeField(help_text="When it was found last.")
    last_run = models.ForeignKey(
        ReconciliationRun,
        on_delete=models.PROTECT,
        db_index=False,
        related_name="+",
        help_text="The run that found it last.",
    )
    times_found = models.IntegerField(help_text="How many runs have found it.")
    opened_at = models.DateTimeField(help_text="Since when it is, or was last, open.")
    closed_at = models.DateTimeField(null=True, help_text="When it was closed; empty: it is open.")

    class Meta:
        verbose_name = "finding"
        verbose_name_plural = "findings"
        default_permissions = ("view",)
        permissions: ClassVar = [("close_finding", "Can close findings of reconciliation")]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["check_name", "subject"], name="finding_is_kept_once"),
            models.CheckConstraint(
                name="finding_is_closed_after_it_was_opened",
                condition=models.Q(closed_at__isnull=True) | models.Q(closed_at__gte=models.F("opened_at")),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["opened_at"], name="findings_open", condition=models.Q(closed_at__isnull=True)),
            models.Index(fields=["user", "-last_found_at", "-id"], name="findings_of_user"),
            models.Index(fields=["-last_found_at", "-id"], name="findings_newest_first"),
        ]

    def __str__(self) -> str:
        return f"{self.check_name}: {self.subject}"


class FindingEventKind(models.TextChoices):
    FOUND = "found", "Found"
    REOPENED = "reopened", "Found again after it was closed"
    CLOSED = "closed", "Closed"


class FindingEvent(models.Model):
    """One thing that became of a finding: it was found, closed, or found again after that. Never altered."""

    finding = models.ForeignKey(
        ReconciliationFinding,
        on_delete=models.PROTECT,
        db_index=False,
        related_name="events",
        help_text="The finding.",
    )
    kind = models.CharField(max_length=8, choices=FindingEventKind.choices, help_text="What happened.")
    run = models.ForeignKey(
        ReconciliationRun,
        null=True,
        on_delete=models.PROTECT,
        db_index=False,
        related_name="+",
        help_text="The run that found it; empty: somebody closed it.",
    )
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        db_index=False,
        related_name="+",
        help_text="Who closed it; empty: a run found it.",
    )
    note = models.TextField(help_text="Why it was closed, or what the run said.")
    idempotency_key = models.CharField(max_length=255, null=True, help_text="The name of this very closing.")
    fingerprint = models.BinaryField(null=True, help_text="SHA-256 of what was asked under that key.")
    created_at = models.DateTimeField(help_text="When.")

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["finding", "idempotency_key"], name="finding_is_closed_once_per_key"),
            models.CheckConstraint(
                name="finding_event_says_who_and_why",
                condition=~models.Q(note="")
                & (
                    models.Q(kind=FindingEventKind.CLOSED, actor__isnull=False, run__isnull=True)
                    & models.Q(idempotency_key__isnull=False, fingerprint__isnull=False)
                    | models.Q(kind__in=[FindingEventKind.FOUND, FindingEventKind.REOPENED], actor__isnull=True)
                    & models.Q(run__isnull=False, idempotency_key__isnull=True)
                ),
            ),
        ]
        indexes: ClassVar = [models.Index(fields=["finding", "id"], name="finding_events_in_order")]

    def __str__(self) -> str:
        return f"{FindingEventKind(self.kind).label}, {self.created_at:%Y-%m-%d %H:%M}"
