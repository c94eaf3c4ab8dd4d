"""Holds, as services send and read them."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from rest_framework import serializers

from config.http.bodies import Body
from config.http.declared import Answer
from config.http.fields import FlagField, WholeNumberField
from ledger.serializers.account import HoldSerializer
from usage.serializers.metering import (
    AnyCustomerSerializer,
    OneCustomerSerializer,
    ReportSerializer,
    credits_field,
    endpoint_field,
    metadata_field,
    method_field,
    reference_field,
    units_field,
)
from usage.services.holding import Captured

LONGEST_HOLD_SECONDS = 86_400


def seconds_field(**kwargs: Any) -> WholeNumberField:
    return WholeNumberField(
        source="expires_in_seconds",
        min_value=1,
        max_value=LONGEST_HOLD_SECONDS,
        help_text="Seconds until it expires.",
        **kwargs,
    )


class HoldRequestSerializer(OneCustomerSerializer):
    """Credits to set aside: the given `credits`, or the cost of `units` of `endpoint`."""

    credits = credits_field("How much; what the endpoint costs when not given.")
    endpoint = endpoint_field(default=None, allow_null=True)
    units = units_field(default=Decimal(1))
    method = method_field()
    expires_in = seconds_field(default=900)
    reference = reference_field()
    metadata = metadata_field()

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if attrs["credits"] is None and attrs["endpoint"] is None:
            missing = "Give credits, or an endpoint that has a price."
            raise serializers.ValidationError({"credits": [missing], "endpoint": [missing]})
        return super().validate(attrs)


class CaptureRequestSerializer(AnyCustomerSerializer, ReportSerializer):
    """Held credits to be spent, and the request that they were held for."""

    credits = credits_field("How much; all that is still held when not given.")
    final = FlagField(default=True, help_text="false keeps the rest held, for more captures.")
    endpoint = endpoint_field(default=None, allow_null=True)
    units = units_field(default=None, allow_null=True)


class CaptureSerializer(HoldSerializer):
    """A hold of which something was captured."""

    entry_id = serializers.IntegerField(allow_null=True, help_text="The ledger entry; null when nothing was debited.")


_CAPTURED = Answer(CaptureSerializer, given=["status", "entry_id"])


def captured_answer(captured: Captured, now: dt.datetime) -> dict[str, Any]:
    """Return a hold as it is now, with the entry of the capture."""
    return _CAPTURED.of(captured.hold, status=captured.hold.status_at(now), entry_id=captured.entry_id)


class ExtensionRequestSerializer(AnyCustomerSerializer):
    """The extension of a hold."""

    expires_in = seconds_field()


HOLD = Body(HoldRequestSerializer)
CAPTURE = Body(CaptureRequestSerializer)
RELEASE = Body(AnyCustomerSerializer)
EXTENSION = Body(ExtensionRequestSerializer)
