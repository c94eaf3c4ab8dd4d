"""Responses about credits."""

from __future__ import annotations

import datetime as dt
from typing import Any

from rest_framework import serializers

from config.http.declared import Answer
from config.http.fields import CreditsField, InstantField
from config.http.refusals import ErrorSerializer
from ledger.models import Entry, EntryType, Grant, GrantCategory, GrantStatus, Hold, HoldStatus
from ledger.selectors import CreditBalance


class CreditBalanceSerializer(serializers.Serializer[CreditBalance]):
    """A customer's credits at one time: `available` is `balance` less `reserved`."""

    user_id = serializers.IntegerField()
    balance = CreditsField(help_text="Sum of all entries.")
    reserved = CreditsField(help_text="Credits in open holds.")
    available = CreditsField(help_text="What can be spent: balance less reserved.")
    currency = serializers.CharField(help_text="Code of the unit of credit.")
    last_updated = InstantField(help_text="Last change of balance or reserved.")
    auto_reload_enabled = serializers.BooleanField(help_text="Whether credits are bought unasked.")
    auto_reload_threshold = CreditsField(
        allow_null=True, help_text="Available credits below which it buys; null: it is off."
    )
    auto_reload_amount = CreditsField(
        allow_null=True, help_text="Credits that it buys; null: it is off, or has a target."
    )


balance_answer = Answer(CreditBalanceSerializer).of


class EntrySerializer(serializers.ModelSerializer[Entry]):
    """One change of the balance: credit > 0, debit < 0, adjustment either."""

    user_id = serializers.IntegerField()
    type = serializers.ChoiceField(choices=EntryType.choices)
    amount = CreditsField(help_text="Signed credits.")
    balance_after = CreditsField(help_text="The previous entry's balance_after plus amount.")
    reference = serializers.CharField(allow_null=True, help_text="Payment id, request id or the like.")
    metadata = serializers.DictField(help_text="Additional data.")
    created_at = InstantField()

    class Meta:
        model = Entry
        fields: tuple[str, ...] = (
            "id",
            "user_id",
            "type",
            "amount",
            "balance_after",
            "description",
            "reference",
            "metadata",
            "created_at",
        )


class AccountHoldSerializer(serializers.ModelSerializer[Hold]):
    """Credits set aside, from `ledger.selectors.holds_of`: an expired hold is shown as expired at once."""

    user_id = serializers.IntegerField()
    credits = CreditsField(help_text="Credits set aside when it was opened.")
    captured = CreditsField(help_text="Credits of it spent so far.")
    status = serializers.ChoiceField(choices=HoldStatus.choices, source="status_now")
    expires_at = InstantField(help_text="From then on it holds nothing.")
    reference = serializers.CharField(allow_null=True, help_text="The caller's own name for the work.")
    metadata = serializers.DictField(help_text="Additional data.")
    created_at = InstantField()
    settled_at = InstantField(
        source="settled_at_now", allow_null=True, help_text="When it was captured, released or had expired; null: open."
    )

    class Meta:
        model = Hold
        fields = (
            "id",
            "user_id",
            "credits",
            "captured",
            "status",
            "expires_at",
            "reference",
            "metadata",
            "created_at",
            "settled_at",
        )


class GrantSerializer(serializers.ModelSerializer[Grant]):
    """A grant of credits, from `ledger.selectors.grants_of`: shown as expired from its expiry on."""

    id = serializers.IntegerField(source="entry_id", help_text="Id of the grant; the same as entry_id.")
    entry_id = serializers.IntegerField(help_text="The ledger entry that brought the credits.")
    amount = CreditsField(help_text="Credits that it began with.")
    remaining = CreditsField(help_text="Credits of it neither spent nor expired.")
    category = serializers.ChoiceField(choices=GrantCategory.choices, help_text="Bought, or given.")
    priority = serializers.IntegerField(help_text="0 to 100; grants of a lower number are spent first.")
    effective_at = InstantField(help_text="Since when it counts.")
    expires_at = InstantField(allow_null=True, help_text="From then on what is left is gone; null: never.")
    created_at = InstantField()
    status = serializers.ChoiceField(
        choices=GrantStatus.choices,
        source="status_now",
        help_text="used: all of it was spent. expired: it ended before that.",
    )

    class Meta:
        model = Grant
        fields = (
            "id",
            "entry_id",
            "amount",
            "remaining",
            "category",
            "priority",
            "effective_at",
            "expires_at",
            "created_at",
            "status",
        )


class HoldSerializer(serializers.Serializer[Hold]):
    """Credits set aside, as the services that set them aside see them."""

    id = serializers.IntegerField()
    user_id = serializers.IntegerField()
    credits = CreditsField(help_text="Credits set aside when it was opened.")
    captured = CreditsField(help_text="Credits of it spent so far.")
    status = serializers.ChoiceField(choices=HoldStatus.choices)
    expires_at = InstantField(help_text="From then on it holds nothing.")
    reference = serializers.CharField(allow_null=True, help_text="The caller's own name for the work.")
    created_at = InstantField()


_HOLD = Answer(HoldSerializer, given=["status"])


def hold_answer(hold: Hold, now: dt.datetime) -> dict[str, Any]:
    """Return a hold as of `now`: shown as expired from its expiry on."""
    return _HOLD.of(hold, status=hold.status_at(now))


class RefundSerializer(EntrySerializer):
    """The entry that gave credits back."""

    reverses = serializers.IntegerField(source="reverses_id", help_text="Id of the debit that it reverses.")

    class Meta(EntrySerializer.Meta):
        fields = (*EntrySerializer.Meta.fields, "reverses")


class BudgetSerializer(serializers.Serializer[Any]):
    """How much may be spent in a window of time, and how much of it is used."""

    scope = serializers.ChoiceField(choices=["api_key"], help_text="What it bounds: api_key, the customer's key.")
    window = serializers.ChoiceField(choices=["month"], help_text="How long it runs before it begins anew.")
    limit = CreditsField(help_text="Credits that may be spent in it.")
    spent = CreditsField(help_text="Credits spent in it, less refunds; keys of one rotation spend as one.")
    held = CreditsField(help_text="Credits in open holds that count towards it.")
    resets_at = InstantField(help_text="When it begins anew.")


class InsufficientCreditsSerializer(ErrorSerializer):
    """A refusal for insufficient credits."""

    credits_required = CreditsField(help_text="What the call costs.")
    credits_available = CreditsField(help_text="What can be spent; below 0 within an overdraft.")
    credits_reserved = CreditsField(help_text="Credits in open holds.")
    reason = serializers.ChoiceField(
        choices=["spent", "held", "expired", "frozen", "key_limit"],
        help_text="held: open holds would have covered it. expired: so would have what expired within the last 24 "
        "hours. frozen: nothing may be spent. key_limit: the customer's key may not spend so much.",
    )
    next_hold_expires_at = InstantField(allow_null=True, help_text="When the first open hold expires.")
    budget = BudgetSerializer(required=False, help_text="With key_limit: the state of the key's spending limit.")
    top_up_url = serializers.CharField(help_text="Where to buy credits.")
