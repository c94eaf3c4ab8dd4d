"""Charges and refunds, as services send and read them."""

from __future__ import annotations

from decimal import Decimal

from rest_framework import serializers

from config.http.bodies import Body
from config.http.declared import Answer
from config.http.fields import CreditsField, TextField
from usage.serializers.metering import (
    AnyCustomerSerializer,
    OneCustomerSerializer,
    ReportSerializer,
    credits_field,
    endpoint_field,
    units_field,
)
from usage.services.charges.charge import Charge


class ChargeRequestSerializer(OneCustomerSerializer, ReportSerializer):
    """One request to be charged; exactly one of `user_id` and `api_key` names the customer."""

    endpoint = endpoint_field()
    units = units_field(default=Decimal(1))
    credits = credits_field("Costs so much, whatever the price.")


class ChargeSerializer(serializers.Serializer[Charge]):
    """One request that was charged."""

    id = serializers.IntegerField(help_text="Names the charge for ever, for refunds too.")
    user_id = serializers.IntegerField()
    credits = CreditsField(help_text="What it cost; 0: it was free.")
    balance_after = CreditsField(help_text="The balance right after it.")
    available = CreditsField(help_text="What can be spent now.")
    entry_id = serializers.IntegerField(allow_null=True, help_text="The ledger entry; null when it was free.")
    request_id = serializers.UUIDField(help_text="The charging call's X-Request-Id if that was a UUID, else a new one.")


class RefundRequestSerializer(AnyCustomerSerializer):
    """Credits to refund."""

    credits = credits_field("How much; all that is left when not given.")
    reason = TextField(max_length=500, help_text="Why; the customer reads it in the ledger.")


CHARGED = Answer(ChargeSerializer)
CHARGE = Body(ChargeRequestSerializer)
REFUND = Body(RefundRequestSerializer)
