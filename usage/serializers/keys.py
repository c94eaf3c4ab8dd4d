"""Verdicts on keys, as services ask for and read them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from accounts.models import Scope
from accounts.serializers.people import ApiKeySerializer
from config.http.bodies import Body
from config.http.declared import Answer
from config.http.fields import CreditsField, InstantField
from ledger.serializers.account import BudgetSerializer
from usage.key_verdicts import Code, Verdict
from usage.serializers.metering import KeyField, endpoint_field, method_field, units_field


class VerdictRequestSerializer(serializers.Serializer[Any]):
    """A customer's key, and what it is to be used for."""

    api_key = KeyField(help_text="The customer's key as it came in.")
    endpoint = endpoint_field(default=None, allow_null=True)
    units = units_field(default=Decimal(1))
    method = method_field()


class VerdictSerializer(serializers.Serializer[Verdict]):
    """Whether a request with this key would be charged."""

    valid = serializers.BooleanField(source="is_valid")
    code = serializers.ChoiceField(
        choices=[code.value for code in Code], help_text="`valid`, or the first thing that is wrong."
    )
    user_id = serializers.IntegerField(allow_null=True, help_text="The customer of the key; null: unknown.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices), allow_null=True, help_text="What the key itself may do."
    )
    credits_required = CreditsField(allow_null=True, help_text="What the endpoint costs; null without a price.")
    available = CreditsField(allow_null=True, help_text="What the customer can spend.")
    budget = BudgetSerializer(required=False, help_text="Where the key's spending limit stands, if it has one.")


class SpendingKeySerializer(ApiKeySerializer):
    """A key of the customer's own, with what was spent of its limit; its text is not stored."""

    spent = CreditsField(
        allow_null=True,
        help_text="Credits spent of its limit since the count began, less refunds; keys of one rotation spend as one. "
        "null: no limit.",
    )
    resets_at = InstantField(allow_null=True, help_text="When the count of its limit is reset; null: no limit.")


class NewSpendingKeySerializer(SpendingKeySerializer):
    """A key that was just made."""

    key = serializers.CharField(help_text="The whole key, shown this once: only its hash is stored.")


VERDICT_ON_KEY = Answer(VerdictSerializer)
VERDICT = Body(VerdictRequestSerializer)
