"""Requests and responses about auto-reload."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.http.fields import CreditsField, FlagField, InstantField, TextField, WholeNumberField
from config.values.credits import LARGEST_ID, plain
from config.values.money import in_major_units
from ledger.models import AutoReload, AutoReloadEvent, OffReason, Payment, PaymentState, ReloadEventKind
from ledger.serializers.payments import MONEY, MoneyField, PaymentMethodSerializer, TopUpSerializer
from ledger.services.auto_reload.status import ReloadStatus


class ReloadChangesSerializer(serializers.Serializer[AutoReload]):
    """Changes of auto-reload; omitted fields stay as they are."""

    enabled = FlagField(required=False, help_text="true requires consent; false works at once.")
    threshold = CreditsField(required=False, help_text="Available credits below which it buys.")
    amount = CreditsField(
        required=False, allow_null=True, help_text="Credits that it buys, or as many times that as it takes."
    )
    target = CreditsField(
        required=False, allow_null=True, help_text="Instead of `amount`: the available credits that it buys up to."
    )
    monthly_cap = MoneyField(
        required=False, help_text="What it may cost in a calendar month (UTC), in whole units of the currency."
    )
    payment_method_id = WholeNumberField(
        required=False, min_value=1, max_value=LARGEST_ID, help_text="The saved card that it charges."
    )
    consent = FlagField(
        required=False, help_text="true: you agree to the sentence that the refusal `consent_required` has shown."
    )
    sentence = TextField(
        max_length=1000,
        required=False,
        help_text="That sentence: you agree to this one or to nothing. Without it, you agree to the current one.",
    )


class AutoReloadSerializer(serializers.Serializer[ReloadStatus]):
    """A customer's auto-reload, as it is now."""

    enabled = serializers.BooleanField(help_text="Whether credits are bought automatically.")
    status = serializers.CharField(help_text="Its status, as a sentence.")
    threshold = CreditsField(allow_null=True, help_text="Available credits below which it buys.")
    amount = CreditsField(allow_null=True, help_text="Credits that it buys, or as many times that as it takes.")
    target = CreditsField(allow_null=True, help_text="Instead: the available credits that it buys up to.")
    monthly_cap = MoneyField(allow_null=True, help_text="What it may cost in a calendar month (UTC).")
    spent_this_month = MoneyField(help_text="What it has cost in this one, payments in progress included.")
    currency = serializers.CharField(allow_null=True, help_text="ISO 4217 code; null: the site does not offer it.")
    price_per_1000_credits = MoneyField(
        allow_null=True, help_text="The price agreed to, or before consent the current one."
    )
    payment_method = PaymentMethodSerializer(allow_null=True, help_text="The card that it charges.")
    consented_at = InstantField(allow_null=True, help_text="When you last agreed.")
    consent_sentence = serializers.CharField(allow_null=True, help_text="The words that you agreed to.")
    disabled_reason = serializers.ChoiceField(
        choices=OffReason.choices, allow_null=True, help_text="Why it is off; null: it is on, or never was."
    )
    disabled_at = InstantField(allow_null=True, help_text="When it was turned off.")
    declines_in_a_row = serializers.IntegerField(help_text="After the third it is turned off.")
    next_attempt_at = InstantField(allow_null=True, help_text="Before then no payment is begun.")
    payment = TopUpSerializer(allow_null=True, help_text="The payment in progress; nothing more is charged meanwhile.")


class ReloadPaymentSerializer(serializers.ModelSerializer[Payment]):
    """One payment that auto-reload began, and its outcome."""

    credits = CreditsField(help_text="Credits that it buys.")
    price = serializers.SerializerMethodField(help_text="In whole units of the currency, such as 12.5 dollars.")
    state = serializers.ChoiceField(choices=PaymentState.choices)
    failure_code = serializers.CharField(allow_null=True, help_text="Why it failed, as a word.")
    failure_message = serializers.CharField(allow_null=True, help_text="Why it failed, as a sentence.")
    entry_id = serializers.IntegerField(allow_null=True, help_text="The ledger's entry, once it has succeeded.")
    settled_at = InstantField(allow_null=True, help_text="When it succeeded, failed or expired.")

    class Meta:
        model = Payment
        fields: ClassVar = [
            "id", "credits", "price", "currency", "state", "failure_code", "failure_message", "entry_id", "settled_at",
        ]  # fmt: skip

    @extend_schema_field(MONEY)
    def get_price(self, payment: Payment) -> Decimal:
        return plain(in_major_units(payment.amount_minor, payment.currency))


class ReloadEventSerializer(serializers.ModelSerializer[AutoReloadEvent]):
    """One event of auto-reload, with the terms of that time."""

    kind = serializers.ChoiceField(choices=ReloadEventKind.choices)
    by = serializers.SerializerMethodField(help_text="Who did it; system: it follows from the rules.")
    reason = serializers.ChoiceField(choices=OffReason.choices, allow_null=True, help_text="Why it was turned off.")
    threshold = CreditsField(allow_null=True, help_text="Available credits below which it buys.")
    amount = CreditsField(allow_null=True, help_text="Credits that it buys.")
    target = CreditsField(allow_null=True, help_text="The available credits that it buys up to.")
    monthly_cap = serializers.SerializerMethodField(help_text="In whole units of the currency.")
    currency = serializers.CharField(allow_null=True, help_text="ISO 4217 code.")
    sentence = serializers.CharField(allow_null=True, help_text="The words agreed to.")
    payment = ReloadPaymentSerializer(allow_null=True, help_text="The payment begun, as it is now.")
    created_at = InstantField()

    class Meta:
        model = AutoReloadEvent
        fields: ClassVar = [
            "id", "kind", "by", "reason", "threshold", "amount", "target", "monthly_cap", "currency", "sentence",
            "payment", "created_at",
        ]  # fmt: skip

    @extend_schema_field({"type": "string", "enum": ["customer", "staff", "system"]})
    def get_by(self, event: AutoReloadEvent) -> str:
        if event.actor_id is None:
            return "system"
        return "customer" if event.actor_id == event.user_id else "staff"

    @extend_schema_field(MONEY | {"type": ["number", "null"]})
    def get_monthly_cap(self, event: AutoReloadEvent) -> Decimal | None:
        if event.monthly_cap_minor is None or event.currency is None:
            return None
        return plain(in_major_units(event.monthly_cap_minor, event.currency))
