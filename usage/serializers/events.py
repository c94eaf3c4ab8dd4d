"""Events as gateways and CloudEvents clients send them, validated one by one: an invalid one is rejected alone."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any, NamedTuple

from rest_framework import serializers

from config.http.bodies import Body
from config.http.declared import Answer
from config.http.field_errors import flattened
from config.http.fields import ObjectField, TextField, TimestampField, WholeNumberField
from usage.serializers.metering import MethodField, endpoint_field, latency_field, units_field
from usage.services.events import Event, Result, rejected

_CLOUD_EVENTS = "1.0"
_JSON = ("application/json", "text/json")


class EventDataSerializer(serializers.Serializer[Any]):
    """The outcome of the request."""

    endpoint = endpoint_field(default=None, allow_null=True)
    status_code = WholeNumberField(source="status", default=200, min_value=100, max_value=599)
    units = units_field(default=Decimal(1))
    latency_ms = latency_field()
    method = MethodField(default=str)


class EventSerializer(serializers.Serializer[Any]):
    """One request that already happened. Attributes of CloudEvents 1.0 that are not listed are ignored."""

    id = TextField(max_length=255, help_text="Together with `source` it names the event: twice is once.")
    source = TextField(max_length=255, help_text="Who reports it.")  # type: ignore[assignment]
    subject = TextField(max_length=254, help_text="The customer: id in digits, email, or any live key of theirs.")
    time = TimestampField(default=None, allow_null=True, help_text="When it happened; default: now.")
    type = TextField(max_length=2_000, default=None, allow_null=True, help_text="The endpoint, when `data` has none.")
    data = ObjectField(  # type: ignore[assignment]
        default=dict, help_text="`endpoint`, `status_code`, `units`, `latency_ms`, `method`."
    )


class DocumentedEventSerializer(EventSerializer):
    """One event, for the API's document."""

    data = EventDataSerializer(required=False)  # type: ignore[assignment]


class NamedResult(NamedTuple):
    """The result of one event, and the id that it was sent with, if any."""

    id: str | None
    result: Result


class Report(NamedTuple):
    """The results of all events of a call, and how many of them were accepted, duplicates, or rejected."""

    accepted: int
    duplicates: int
    rejected: int
    results: list[NamedResult]


class EventResultSerializer(serializers.Serializer[NamedResult]):
    """The result of one event."""

    id = serializers.CharField(allow_null=True, help_text="The event's id; null when it had none.")
    status = serializers.ChoiceField(choices=["accepted", "duplicate", "rejected"], source="result.status")
    code = serializers.CharField(
        required=False, source="result.code", help_text="Why it was rejected; `unpaid` where it was accepted."
    )
    detail = serializers.CharField(required=False, source="result.detail")


class EventsAnswerSerializer(serializers.Serializer[Report]):
    """The results of all events, in the order in which they were sent."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = serializers.IntegerField()
    results = EventResultSerializer(many=True)


REPORT = Answer(EventsAnswerSerializer)
_EVENT, _DATA = Body(EventSerializer), Body(EventDataSerializer)


def read_event(sent: Any, *, is_cloud_event: bool) -> Event | Result:
    """Parse one event, or return the reason why it is rejected."""
    if not isinstance(sent, Mapping):
        return rejected("invalid", "An event is a JSON object.")
    try:
        _refuse_other_events(sent, is_cloud_event=is_cloud_event)
        event = _EVENT.read(sent)
        data = _under("data", event["data"] or {})
    except serializers.ValidationError as error:
        place, message = next(flattened(error.detail))
        return rejected("invalid", f"{place}: {message}" if place else message)
    event_type = event.pop("type")
    del event["data"]
    data["endpoint"] = data["endpoint"] or event_type
    if data["endpoint"] is None:
        return rejected("invalid", "data.endpoint: An event without a type needs an endpoint.")
    return Event(**event, **data)


def _refuse_other_events(sent: Mapping[str, Any], *, is_cloud_event: bool) -> None:
    """Refuse an item that is not a CloudEvent with JSON data, where the media type or the item says that it is one."""
    version = sent.get("specversion", None if is_cloud_event else _CLOUD_EVENTS)
    if version != _CLOUD_EVENTS:
        raise serializers.ValidationError({"specversion": ["Only CloudEvents 1.0 are understood."]})
    if is_cloud_event and sent.get("type") is None:
        raise serializers.ValidationError({"type": ["A CloudEvent has a type."]})
    content = sent.get("datacontenttype")
    if content is not None and str(content).partition(";")[0].strip().lower() not in _JSON:
        raise serializers.ValidationError({"datacontenttype": ["Data must be JSON."]})
    if "data_base64" in sent:
        raise serializers.ValidationError({"data_base64": ["Data must be JSON, in `data`."]})


def _under(name: str, data: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return _DATA.read(data)
    except serializers.ValidationError as error:
        raise serializers.ValidationError({name: error.detail}) from error
