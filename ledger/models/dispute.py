"""Disputes of entries: a customer objects to a debit, and staff answer. Payments are disputed at banks, elsewhere."""

from __future__ import annotations

from typing import ClassVar

from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from accounts.models.customer_key import customer_key
from ledger.models.adjustment import AdjustmentRequest, staff_key
from ledger.models.entry import Entry, entry_key

LONGEST_MESSAGE = 2_000


class EntryDisputeReason(models.TextChoices):
    NOT_MINE = "not_mine", "Not mine"
    WRONG_AMOUNT = "wrong_amount", "Wrong amount"
    FAILED_REQUEST = "failed_request", "Failed request"
    DUPLICATE = "duplicate", "Duplicate"
    OTHER = "other", "Other"


class EntryDisputeState(models.TextChoices):
    OPEN = "open", "Open"
    ANSWERED = "answered", "Answered"
    RESOLVED = "resolved", "Resolved"
    REJECTED = "rejected", "Rejected"
    WITHDRAWN = "withdrawn", "Withdrawn"


OPEN_DISPUTES = (EntryDisputeState.OPEN, EntryDisputeState.ANSWERED)
# What staff have to answer comes first in the queue, then what waits for the customer; an index has the order.
WAITS_FOR_STAFF = models.ExpressionWrapper(Q(state=EntryDisputeState.OPEN), output_field=models.BooleanField())
WAITS_FOR_CUSTOMER = models.ExpressionWrapper(Q(state=EntryDisputeState.ANSWERED), output_field=models.BooleanField())


class EntryDisputeQuerySet(models.QuerySet["EntryDispute"]):
    def of(self, user_id: int) -> EntryDisputeQuerySet:
        return self.filter(user_id=user_id)

    def newest_first(self) -> EntryDisputeQuerySet:
        return self.order_by("-id")

    def not_closed(self) -> EntryDisputeQuerySet:
        return self.filter(state__in=OPEN_DISPUTES)


class EntryDispute(models.Model):
    """One objection of a customer to one debit, until it is resolved, rejected or withdrawn; then it stays as it is."""

    user = customer_key(related_name="disputes")
    entry = models.ForeignKey(
        Entry,
        on_delete=models.PROTECT,
        db_constraint=False,
        db_index=False,
        related_name="disputes",
        help_text="The debit that the customer objects to.",
    )
    reason = models.CharField(max_length=14, choices=EntryDisputeReason.choices, help_text="What is said to be wrong.")
    state = models.CharField(
        max_length=9,
        choices=EntryDisputeState.choices,
        db_default=EntryDisputeState.OPEN,
        default=EntryDisputeState.OPEN,
        help_text="Open: staff are to answer. Answered: the customer may reply.",
    )
    adjustment = models.OneToOneField(
        AdjustmentRequest,
        null=True,
        on_delete=models.PROTECT,
        related_name="dispute",
        help_text="The request for the credits to return; while it waits for a second person, so does the dispute.",
    )
    reversal = entry_key(help_text="The entry that returned credits; empty: none.")
    credits_returned = models.DecimalField(
        max_digits=15, decimal_places=6, default=0, db_default=0, help_text="Credits that were returned."
    )
    idempotency_key = models.CharField(max_length=255, null=True, help_text="The customer's name for it; may be empty.")
    fingerprint = models.BinaryField(null=True, help_text="SHA-256 of what was asked under that key.")
    created_at = models.DateTimeField(help_text="When it was opened.")
    closed_at = models.DateTimeField(null=True, help_text="When it was resolved, rejected or withdrawn.")
    closed_by = staff_key(null=True, help_text="Who of the staff resolved or rejected it; empty: nobody.")

    objects = EntryDisputeQuerySet.as_manager()

    class Meta:
        verbose_name = "dispute"
        verbose_name_plural = "disputes"
        default_permissions = ("view",)
        permissions: ClassVar = [
            ("answer_dispute", "Can answer disputes, and reject them"),
            ("resolve_dispute", "Can resolve disputes with credits"),
        ]
        constraints: ClassVar = [
            models.UniqueConstraint(
                fields=["user", "entry"], condition=Q(state__in=OPEN_DISPUTES), name="entry_has_one_open_dispute"
            ),
            models.UniqueConstraint(fields=["user", "idempotency_key"], name="dispute_key_is_used_once"),
            models.CheckConstraint(
                name="dispute_is_closed_at_a_time",
                condition=Q(state__in=OPEN_DISPUTES, closed_at__isnull=True)
                | ~Q(state__in=OPEN_DISPUTES) & Q(closed_at__isnull=False),
            ),
            models.CheckConstraint(
                name="dispute_returns_credits_when_resolved",
                condition=Q(state=EntryDisputeState.RESOLVED, credits_returned__gt=0, reversal__isnull=False)
                | ~Q(state=EntryDisputeState.RESOLVED) & Q(credits_returned=0, reversal__isnull=True),
            ),
        ]
        indexes: ClassVar = [
            models.Index(fields=["user", "id"], name="disputes_of_user"),
            models.Index(WAITS_FOR_STAFF.desc(), WAITS_FOR_CUSTOMER.desc(), F("id"), name="disputes_open_first"),
            models.Index(fields=["created_at"], name="disputes_open_by_age", condition=Q(state__in=OPEN_DISPUTES)),
        ]

    def __str__(self) -> str:
        return f"dispute {self.pk} of entry {self.entry_id}"

    @property
    def is_closed(self) -> bool:
        return self.state not in OPEN_DISPUTES


class DisputeMessage(models.Model):
    """One message of the thread of a dispute; never altered, never removed."""

    dispute = models.ForeignKey(
        EntryDispute, on_delete=models.PROTECT, db_index=False, related_name="messages", help_text="Of which."
    )
    author = staff_key(null=True, help_text="Who of the staff wrote it; empty: the customer.")
    text = models.TextField(help_text="What was written.")
    idempotency_key = models.CharField(max_length=255, null=True, help_text="The customer's name for it; may be empty.")
    created_at = models.DateTimeField(db_default=Now(), help_text="When.")

    class Meta:
        default_permissions = ()
        constraints: ClassVar = [
            models.UniqueConstraint(fields=["dispute", "idempotency_key"], name="dispute_message_key_is_used_once"),
            models.CheckConstraint(name="dispute_message_says_something", condition=~Q(text="")),
        ]
        indexes: ClassVar = [models.Index(fields=["dispute", "id"], name="messages_of_dispute")]

    def __str__(self) -> str:
        return f"message {self.pk} of dispute {self.dispute_id}"

    @property
    def by(self) -> str:
        return "customer" if self.author_id is None else "staff"
