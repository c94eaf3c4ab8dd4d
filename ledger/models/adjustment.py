"""Adjustments that staff ask for: each is kept with who asked, why, and who agreed."""

from __future__ import annotations

from typing import Any, ClassVar

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models.customer_key import customer_key
from ledger.models.entry import AdjustmentReason, EntryReason, entry_key


class AdjustmentState(models.TextChoices):
    PENDING = "pending", "Waits for approval"
    APPROVED = "approved", "Approved"
    REJECTED = "rejected", "Rejected"
    WITHDRAWN = "withdrawn", "Withdrawn"


class SecondPersonBecause(models.TextChoices):
    """Why an adjustment needs a second person's approval."""

    OWN_ACCOUNT = "own_account", "the account is the author's own"
    SINGLE = "single", "it is above the author's limit of one adjustment"
    DAILY = "daily", "it exceeds what the author may adjust in a day"


class LineOutcome(models.TextChoices):
    WAITING = "waiting", "Waiting"
    POSTED = "posted", "Posted"
    REFUSED = "refused", "Refused"
    DROPPED = "dropped", "Not approved"


# What waits comes first in lists; an index has the order.
IS_PENDING = models.ExpressionWrapper(Q(state=AdjustmentState.PENDING), output_field=models.BooleanField())
_REASONS = [*AdjustmentReason.choices, (EntryReason.REVERSAL.value, EntryReason.REVERSAL.label)]


def staff_key(*, help_text: str, null: bool = False) -> models.ForeignKey[Any, Any]:
    """Return a foreign key to the member of staff who did something."""
    return models.ForeignKey(
        settings.AUTH_USER_MODEL, null=null, on_delete=models.PROTECT, related_name="+", help_text=help_text
    )


class AdjustmentRequest(models.Model):
    """One adjustment that a member of staff asked for, or one file of them: posted at once, or after approval.

    Written by the ledger's SQL functions alone, decided once, never removed. A file has no customer and no amount of
    its own: its lines have them.
    """

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.PROTECT,
        db_index=False,
        related_name="adjustment_requests",
        help_text="The customer; empty: those of the lines.",
    )
    amount = models.DecimalField(
        max_digits=15, decimal_places=6, null=True, help_text="Signed credits; empty: those of the lines."
    )
    total = models.DecimalField(
        max_digits=18, decimal_places=6, help_text="Credits that limits count: the amount, or the lines', without sign."
    )
    reason = models.CharField(
        max_length=11, choices=_REASONS, null=True, help_text="Why the balance changes; empty: as the lines say."
    )
    note = models.TextField(help_text="What happened, in the author's words: the description of the entry.")
    reference = models.CharField(max_length=255, null=True, help_text="A ticket's number or URL; empty: none.")
    reverses = entry_key(help_text="The entry that is taken back or given back, in part or wholly; empty: none.")
    balance_before = models.DecimalField(
        max_digits=15,
        decimal_places=6,
        null=True,
        help_text="The customer's balance when it was asked for, in credits.",
    )
    file_name = models.CharField(max_length=255, null=True, help_text="Name of the uploaded file; empty: no file.")
    file_sha256 = models.BinaryField(null=True, help_text="SHA-256 of the lines of the file, as they were understood.")
    line_count = models.IntegerField(null=True, help_text="How many lines the file has.")
    author = staff_key(help_text="Who asked for it.")
    idempotency_key = models.CharField(max_length=255, help_text="The caller's name for this very request.")
    fingerprint = models.BinaryField(help_text="SHA-256 of what was asked under that key.")
    second_person_because = models.CharField(
        max_length=11,
        choices=SecondPersonBecause.choices,
        null=True,
        help_text="Why a second person has to agree; empty: the author may do it alone.",
    )
    state = models.CharField(max_length=9, choices=AdjustmentState.choices, help_text="What became of it.")
    decided_by = staff_key(null=True, help_text="Who approved, rejected or withdrew it; empty: nobody had to.")
    decided_at = models.DateTimeField(null=True, help_text="When.")
    decision_note = models.TextField(db_default="", help_text="What they wrote about it.")
    entry = entry_key(help_text="The entry that was posted; empty: none, or those of the lines.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When it was asked for.")

    class Meta:
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("export_adjustmentrequest", "Can export requests for adjustments"),
            ("approve_adjustment", "Can approve and reject adjustments that others asked for"),
            ("adjust_by_file", "Can adjust the credits of many customers by a file"),
            ("reverse_entry", "Can reverse entries, in part or wholly"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="adjustment_key_is_used_once"),
            models.UniqueConstraint(
                fields=["author", "idempotency_key"],
                condition=Q(user__isnull=True),
                name="adjustment_file_key_is_used_once",
            ),
            models.UniqueConstraint(
                fields=["file_sha256"],
                condition=Q(state__in=[AdjustmentState.PENDING, AdjustmentState.APPROVED]),
                name="adjustment_file_is_posted_once",
            ),
            models.UniqueConstraint(fields=["entry"], name="adjustment_entry_has_one_request"),
            models.CheckConstraint(
                name="adjustment_is_of_a_customer_or_a_file",
                condition=Q(user__isnull=False, amount__isnull=False, reason__isnull=False, file_sha256__isnull=True)
                & Q(line_count__isnull=True)
                | Q(user__isnull=True, amount__isnull=True, reason__isnull=True, file_sha256__isnull=False)
                & Q(line_count__gt=0, reverses__isnull=True, entry__isnull=True),
            ),
            models.CheckConstraint(
                name="adjustment_changes_something",
                condition=Q(total__gt=0) & (Q(amount__isnull=True) | Q(amount=F("total")) | Q(amount=-1 * F("total"))),
            ),
            models.CheckConstraint(name="adjustment_says_why", condition=~Q(note="")),
            models.CheckConstraint(
                name="adjustment_is_approved_by_a_second_person",
                condition=Q(state=AdjustmentState.PENDING, decided_by__isnull=True, decided_at__isnull=True)
                & Q(second_person_because__isnull=False)
                | Q(state=AdjustmentState.APPROVED, second_person_because__isnull=True, decided_by__isnull=True)
                & Q(decided_at__isnull=False)
                & (Q(user__isnull=True) | ~Q(user=F("author")))
                | Q(state=AdjustmentState.APPROVED, second_person_because__isnull=False)
                & Q(decided_by__isnull=False, decided_at__isnull=False)
                & ~Q(decided_by=F("author"))
                & (Q(user__isnull=True) | ~Q(decided_by=F("user")))
                | Q(state=AdjustmentState.REJECTED, decided_by__isnull=False, decided_at__isnull=False)
                & ~Q(decided_by=F("author"))
                | Q(state=AdjustmentState.WITHDRAWN, decided_by=F("author"), decided_at__isnull=False),
            ),
            models.CheckConstraint(
                name="adjustment_has_its_entry_once_approved",
                condition=Q(user__isnull=True)
                | Q(state=AdjustmentState.APPROVED, entry__isnull=False)
                | ~Q(state=AdjustmentState.APPROVED) & Q(entry__isnull=True),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "id"], name="adjustments_of_user"),
            models.Index(IS_PENDING.desc(), F("id").desc(), name="adjustments_pending_first"),
            models.Index(fields=["id"], name="adjustments_to_decide", condition=Q(state=AdjustmentState.PENDING)),
            models.Index(fields=["reverses"], name="adjustments_by_reversed", condition=Q(reverses__isnull=False)),
        ]

    def __str__(self) -> str:
        return f"adjustment request {self.pk}"

    @property
    def is_file(self) -> bool:
        return self.user_id is None


class AdjustmentLine(models.Model):
    """One line of a file of adjustments, and what became of it."""

    request = models.ForeignKey(
        AdjustmentRequest, on_delete=models.PROTECT, db_index=False, related_name="lines", help_text="Its file."
    )
    number = models.IntegerField(help_text="Place in the file: the header is line 1.")
    user = customer_key()
    amount = models.DecimalField(max_digits=15, decimal_places=6, help_text="Signed credits.")
    reason = models.CharField(max_length=11, choices=AdjustmentReason.choices, help_text="Why the balance changes.")
    note = models.TextField(help_text="What happened: the description of the entry.")
    reference = models.CharField(max_length=255, null=True, help_text="A ticket's number or URL; empty: none.")
    line_key = models.BinaryField(help_text="SHA-256 of customer, amount, reason, note and reference.")
    outcome = models.CharField(
        max_length=8, choices=LineOutcome.choices, db_default=LineOutcome.WAITING, help_text="What became of it."
    )
    refusal = models.TextField(db_default="", help_text="Why it was refused.")
    entry = entry_key(help_text="The entry that was posted; empty: none.")
    settled_at = models.DateTimeField(null=True, help_text="When it was posted or refused.")

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["request", "number"], name="adjustment_line_has_its_place"),
            models.UniqueConstraint(
                fields=["user", "line_key"],
                condition=Q(outcome__in=[LineOutcome.WAITING, LineOutcome.POSTED]),
                name="adjustment_line_is_posted_once",
            ),
            models.UniqueConstraint(fields=["entry"], name="adjustment_line_has_its_own_entry"),
            models.CheckConstraint(name="adjustment_line_changes_something", condition=~Q(amount=0) & ~Q(note="")),
            models.CheckConstraint(
                name="adjustment_line_has_its_entry_once_posted",
                condition=Q(outcome=LineOutcome.POSTED, entry__isnull=False)
                | ~Q(outcome=LineOutcome.POSTED) & Q(entry__isnull=True),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["request", "id"], name="adjustment_lines_to_post", condition=Q(outcome="waiting")),
        ]

    def __str__(self) -> str:
        return f"line {self.number} of adjustment request {self.request_id}"


class AdjustmentDay(models.Model):
    """How much one member of staff adjusted on one day without a second person: what the limit of a day counts."""

    author = staff_key(help_text="Who.")
    day = models.DateField(help_text="The day, in UTC.")
    credits = models.DecimalField(max_digits=18, decimal_places=6, help_text="Credits, gains and losses alike.")

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["author", "day"], name="adjustments_of_a_day_are_one_sum"),
            models.CheckConstraint(name="adjustments_of_a_day_are_positive", condition=Q(credits__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.day:%Y-%m-%d}: {self.credits:f}"


class AdjustmentLimit(models.Model):
    """How much the members of a group may adjust alone; of the limits of several groups the most generous applies."""

    group = models.OneToOneField(
        "auth.Group",
        primary_key=True,
        on_delete=models.CASCADE,
        related_name="adjustment_limit",
        help_text="The group.",
    )
    single = models.DecimalField(
        max_digits=15,
        decimal_places=6,
        verbose_name="one adjustment",
        help_text="Credits that one adjustment may give or take. 0: each needs a second person.",
    )
    daily = models.DecimalField(
        max_digits=15,
        decimal_places=6,
        verbose_name="a day",
        help_text="Credits that a person may give and take on one UTC day, both counted without their sign.",
    )

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.CheckConstraint(name="adjustment_limits_are_positive", condition=Q(single__gte=0, daily__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.single:f} at once, {self.daily:f} a day"
