"""Explanations of entries, as the API shows them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.http.fields import CreditsField, InstantField
from config.values.credits import plain
from config.values.money import in_major_units
from ledger.models import GrantCategory, Payment, PaymentState
from ledger.serializers.account import AccountHoldSerializer, EntrySerializer
from ledger.serializers.payments import MONEY
from usage.serializers.account import PlanSerializer, RequestSerializer


class ExplainedRequestSerializer(RequestSerializer):
    """One request that the entry paid for, or that was reported with those."""

    api_key = serializers.CharField(
        source="api_key.prefix", allow_null=True, help_text="Prefix of the key it came with, when known."
    )


class ExplainedRequestsSerializer(serializers.Serializer[Any]):
    """The requests behind a debit. The log is dropped by months: then the number remains, and no item."""

    count = serializers.IntegerField(help_text="How many there were, those that cost nothing included.")
    first_at = InstantField(
        allow_null=True, help_text="Time of the first; null: the log no longer has all, or there are more than 5,000."
    )
    last_at = InstantField(allow_null=True, help_text="Time of the last; null as `first_at`.")
    items = ExplainedRequestSerializer(many=True, help_text="The first 20 of the request log.")


class ExplainedPriceSerializer(serializers.Serializer[Any]):
    """The version of a price that the requests paid."""

    endpoint = serializers.CharField()
    method = serializers.CharField(help_text="Empty: every method.")
    version = serializers.IntegerField(source="pk", help_text="Names this version; a change of a price is a new one.")
    credits = CreditsField(help_text="Credits a unit.")
    minimum = CreditsField(help_text="The least that a request costs.")
    effective_from = InstantField()


class GrantShareSerializer(serializers.Serializer[Any]):
    """Credits of one grant that a debit drew, or that a credit opened or refilled it with."""

    grant_id = serializers.IntegerField(
        allow_null=True, help_text="null: no grant, but an overdraft; or what is beyond the first 200 grants."
    )
    category = serializers.ChoiceField(choices=GrantCategory.choices, allow_null=True)
    credits = CreditsField(help_text="Without sign; all of them sum to the amount of the entry.")
    expires_at = InstantField(allow_null=True, help_text="When the grant ends; null: never.")


class ExplainedPaymentSerializer(serializers.Serializer[Payment]):
    """The payment that brought the credits, or for which they were taken back."""

    id = serializers.IntegerField()
    package = serializers.CharField(source="package.code", allow_null=True, default=None, help_text="Its code.")
    price = serializers.SerializerMethodField(help_text="In whole units of the currency, such as 12.5 dollars.")
    currency = serializers.CharField()
    state = serializers.ChoiceField(choices=PaymentState.choices)

    @extend_schema_field(MONEY)
    def get_price(self, payment: Payment) -> Decimal:
        return plain(in_major_units(payment.amount_minor, payment.currency))


class ExplainedSubscriptionSerializer(serializers.Serializer[Any]):
    """The period of a subscription that brought the credits."""

    id = serializers.IntegerField(source="subscription_id")
    plan = PlanSerializer()
    period_start = InstantField(source="starts_at")
    period_end = InstantField(source="ends_at")


class ExplanationSerializer(serializers.Serializer[Any]):
    """How one entry came about, and what became of it; what does not apply is null or empty."""

    entry = EntrySerializer()
    sentence = serializers.CharField(help_text="Why, in one sentence.")
    requests = ExplainedRequestsSerializer(allow_null=True)
    price = ExplainedPriceSerializer(allow_null=True, help_text="null: none, or the requests paid several.")
    calculation = serializers.CharField(
        allow_null=True, help_text="Such as `3 × 4 = 12`; null: the amount was given, or is no single product."
    )
    grants = GrantShareSerializer(many=True, help_text="What it drew on, opened or refilled.")
    hold = AccountHoldSerializer(allow_null=True, help_text="The hold that it captured.")
    payment = ExplainedPaymentSerializer(allow_null=True)
    subscription = ExplainedSubscriptionSerializer(source="period", allow_null=True)
    reverses = serializers.IntegerField(
        source="entry.reverses_id", allow_null=True, help_text="The entry that it takes back or gives back."
    )
    reversed_by = serializers.ListField(
        child=serializers.IntegerField(), help_text="The entries that take this one back: the first 100."
    )
    by = serializers.ChoiceField(choices=["customer", "service", "staff", "system"], help_text="Who made it.")
