"""Requests and responses about buying credits."""

from __future__ import annotations

from decimal import Decimal
from typing import ClassVar

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.http.declared import Answer
from config.http.fields import CreditsField, InstantField, TextField, WholeNumberField
from config.values.credits import LARGEST_ID, plain
from config.values.money import in_major_units
from ledger.models import Payment, PaymentKind, PaymentMethod, PaymentState, TopUpPackage
from ledger.providers.base import CardSaving

MONEY = {"type": "number", "format": "double", "examples": [12.5]}


class MoneyField(CreditsField):
    """An amount of money in whole units of its currency, such as 12.5 dollars."""

    noun = "amounts of money"


class PackageSerializer(serializers.ModelSerializer[TopUpPackage]):
    """An amount of credits for a price."""

    credits = CreditsField(help_text="Credits that it buys.")
    price = serializers.SerializerMethodField(help_text="In whole units of the currency, such as 12.5 dollars.")

    class Meta:
        model = TopUpPackage
        fields: ClassVar = ["id", "code", "name", "credits", "price", "currency"]

    @extend_schema_field(MONEY)
    def get_price(self, package: TopUpPackage) -> Decimal:
        return plain(in_major_units(package.price_minor, package.currency))


class TopUpRequestSerializer(serializers.Serializer[Payment]):
    """What to buy, and with which card."""

    package = TextField(max_length=50, help_text="The package's code.")
    payment_method_id = WholeNumberField(
        min_value=1,
        max_value=LARGEST_ID,
        required=False,
        allow_null=True,
        default=None,
        help_text="A saved card, which is charged at once; without one you pay on the provider's page.",
    )
    expected_credits = CreditsField(required=False, help_text="Credits that the package was shown with.")
    expected_price = MoneyField(
        required=False, help_text="The price it was shown with, in whole units of its currency."
    )
    expected_currency = TextField(max_length=3, required=False, help_text="That currency.")


NEXT_STEP = {
    PaymentState.PENDING: "wait",
    PaymentState.REQUIRES_ACTION: "act",
    PaymentState.FAILED: "try_again",
    PaymentState.EXPIRED: "try_again",
    PaymentState.SUCCEEDED: "none",
}


class TopUpSerializer(serializers.ModelSerializer[Payment]):
    """A purchase of credits, as it is now."""

    kind = serializers.ChoiceField(choices=PaymentKind.choices, help_text="Whether you bought, or auto-reload did.")
    package = serializers.CharField(source="package.code", allow_null=True, help_text="The package's code.")
    credits = CreditsField(help_text="Credits that it buys.")
    price = serializers.SerializerMethodField(help_text="In whole units of the currency, such as 12.5 dollars.")
    refunded = serializers.SerializerMethodField(help_text="The part of it that was refunded.")
    credits_owed = CreditsField(
        help_text="Of its credits: to be taken back, but spent before. They are taken from whatever comes in."
    )
    state = serializers.ChoiceField(choices=PaymentState.choices)
    next_step = serializers.SerializerMethodField(
        help_text="act: go on at `action_url`, or by `client_secret` with the provider's script. wait: the provider "
        "has not answered yet. try_again: nothing was bought."
    )
    payment_method_id = serializers.IntegerField(allow_null=True, help_text="The saved card that was charged.")
    action_url = serializers.CharField(allow_null=True, help_text="Where you go on, while action is required.")
    client_secret = serializers.CharField(allow_null=True, help_text="For the provider's own script.")
    failure_code = serializers.CharField(allow_null=True, help_text="Why it failed, as a word.")
    failure_message = serializers.CharField(allow_null=True, help_text="Why it failed, as a sentence.")
    entry_id = serializers.IntegerField(allow_null=True, help_text="The ledger's entry, once it has succeeded.")
    created_at = InstantField()
    expires_at = InstantField(help_text="Until when you may act.")
    settled_at = InstantField(allow_null=True, help_text="When it succeeded, failed or expired.")

    class Meta:
        model = Payment
        fields: ClassVar = [
            "id", "kind", "package", "credits", "price", "currency", "refunded", "credits_owed", "state",
            "next_step", "payment_method_id", "action_url", "client_secret", "failure_code", "failure_message",
            "entry_id", "created_at", "expires_at", "settled_at",
        ]  # fmt: skip

    @extend_schema_field(MONEY)
    def get_price(self, payment: Payment) -> Decimal:
        return plain(in_major_units(payment.amount_minor, payment.currency))

    @extend_schema_field(MONEY)
    def get_refunded(self, payment: Payment) -> Decimal:
        return plain(in_major_units(payment.refunded_minor, payment.currency))

    @extend_schema_field({"type": "string", "enum": ["act", "wait", "try_again", "none"]})
    def get_next_step(self, payment: Payment) -> str:
        return NEXT_STEP[PaymentState(payment.state)]


class PaymentMethodSerializer(serializers.ModelSerializer[PaymentMethod]):
    """A saved card; only the provider knows its number."""

    created_at = InstantField()

    class Meta:
        model = PaymentMethod
        fields: ClassVar = ["id", "brand", "last4", "expiry_month", "expiry_year", "created_at"]


class CardSavingSerializer(serializers.Serializer[CardSaving]):
    """How to go on saving a card, with the provider's own script."""

    provider = serializers.CharField(help_text="Whose script.")
    setup_id = serializers.CharField(source="id", help_text="The provider's name for it.")
    client_secret = serializers.CharField(help_text="What the script is given.")


CARD_SAVING = Answer(CardSavingSerializer, given=["provider"])
