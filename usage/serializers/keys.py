"""Verdicts on keys, as services ask for and read them."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from accounts.models import Scope
from config.http.bodies import Body
from config.http.fields import CreditsField
from usage.key_verdicts import Code
from usage.serializers.metering import KeyField, endpoint_field, method_field, units_field


class VerdictRequestSerializer(serializers.Serializer[Any]):
    """A customer's key, and what it is to be used for."""

    api_key = KeyField(help_text="The customer's key as it came in.")
    endpoint = endpoint_field(default=None, allow_null=True)
    units = units_field(default=Decimal(1))
    method = method_field()


class VerdictSerializer(serializers.Serializer[Any]):
    """Whether a request with this key would be charged."""

    valid = serializers.BooleanField()
    code = serializers.ChoiceField(
        choices=[code.value for code in Code], help_text="`valid`, or the first thing that is wrong."
    )
    user_id = serializers.IntegerField(allow_null=True, help_text="Whose key it is; null: nobody's.")
    scopes = serializers.ListField(
        child=serializers.ChoiceField(choices=Scope.choices), allow_null=True, help_text="What the key itself may do."
    )
    credits_required = CreditsField(allow_null=True, help_text="What the endpoint costs; null without a price.")
    available = CreditsField(allow_null=True, help_text="What the customer can spend.")


VERDICT = Body(VerdictRequestSerializer)
