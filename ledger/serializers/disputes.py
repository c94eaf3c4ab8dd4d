"""Disputes, as the Account API shows them."""

from __future__ import annotations

from typing import ClassVar

from rest_framework import serializers

from config.http.fields import CreditsField, InstantField, TextField, WholeNumberField
from config.values.credits import LARGEST_ID
from ledger.models import DisputeMessage, EntryDispute, EntryDisputeReason, EntryDisputeState
from ledger.models.dispute import LONGEST_MESSAGE

_MESSAGE_HELP = f"What is wrong, in your words: 1 to {LONGEST_MESSAGE:,} characters."


class DisputeMessageSerializer(serializers.Serializer[DisputeMessage]):
    """One message of a dispute."""

    by = serializers.ChoiceField(choices=["customer", "staff"])
    text = serializers.CharField()
    at = InstantField(source="created_at")


class DisputeSerializer(serializers.ModelSerializer[EntryDispute]):
    """One dispute of a debit, with its messages, the oldest first."""

    entry_id = serializers.IntegerField(help_text="The debit.")
    reason = serializers.ChoiceField(choices=EntryDisputeReason.choices)
    state = serializers.ChoiceField(
        choices=EntryDisputeState.choices, help_text="answered: staff have written, and you may reply."
    )
    credits_returned = CreditsField(help_text="Credits that were returned when it was resolved.")
    messages = DisputeMessageSerializer(many=True)
    created_at = InstantField()
    closed_at = InstantField(allow_null=True, help_text="When it was resolved, rejected or withdrawn.")

    class Meta:
        model = EntryDispute
        fields: ClassVar = [
            "id", "entry_id", "reason", "state", "credits_returned", "messages", "created_at", "closed_at",
        ]  # fmt: skip


class NewDisputeSerializer(serializers.Serializer[EntryDispute]):
    """A new dispute of a debit."""

    entry_id = WholeNumberField(min_value=1, max_value=LARGEST_ID, help_text="The debit: one of your ledger entries.")
    reason = serializers.ChoiceField(choices=EntryDisputeReason.choices)
    message = TextField(max_length=LONGEST_MESSAGE, help_text=_MESSAGE_HELP)


class NewMessageSerializer(serializers.Serializer[DisputeMessage]):
    """A further message of the customer."""

    message = TextField(max_length=LONGEST_MESSAGE, help_text=_MESSAGE_HELP)
