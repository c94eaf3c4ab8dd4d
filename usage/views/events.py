"""Events: requests that already happened, in batches."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, ClassVar

from django.conf import settings
from django.utils import timezone
from drf_spectacular.utils import PolymorphicProxySerializer, extend_schema
from rest_framework.exceptions import ValidationError

from accounts.authentication import BearerKeyAuthentication
from config.http.answers import RETRY_AFTER_SECONDS
from config.http.lean import LeanAnswer, LeanRequest
from config.http.parsers import StrictJsonParser
from usage.errors import EventsRejected, EventsUnavailable
from usage.serializers.events import (
    REPORT,
    DocumentedEventSerializer,
    EventsAnswerSerializer,
    NamedResult,
    Report,
    read_event,
)
from usage.services.events import LARGEST_BATCH, UNRECORDED, Event, Result, record_events
from usage.views.metering import METERING_REFUSALS, MeteringViewSet


class EventsParser(StrictJsonParser):
    """One event, or an array of them."""

    body_bytes: ClassVar[int | None] = settings.EVENTS_BODY_BYTES
    top_level: ClassVar[tuple[type, ...]] = (dict, list)
    top_level_refusal: ClassVar[str] = "The body must be an event or an array of events."


class CloudEventParser(EventsParser):
    """One CloudEvent in structured mode."""

    media_type = "application/cloudevents+json"
    top_level: ClassVar[tuple[type, ...]] = (dict,)
    top_level_refusal: ClassVar[str] = "The body must be one event."


class CloudEventsBatchParser(EventsParser):
    """CloudEvents in batched mode."""

    media_type = "application/cloudevents-batch+json"
    top_level: ClassVar[tuple[type, ...]] = (list,)
    top_level_refusal: ClassVar[str] = "The body must be an array of events."


EVENTS_OR_ONE = {
    EventsParser.media_type: PolymorphicProxySerializer(
        component_name="EventOrEvents",
        serializers=[DocumentedEventSerializer, DocumentedEventSerializer(many=True)],
        resource_type_field_name=None,
        many=False,
    ),
    CloudEventParser.media_type: DocumentedEventSerializer,
    CloudEventsBatchParser.media_type: DocumentedEventSerializer(many=True),
}


class EventsViewSet(MeteringViewSet):
    """Requests that gateways report afterwards."""

    parser_classes = (EventsParser, CloudEventParser, CloudEventsBatchParser)

    @extend_schema(
        operation_id="events",
        summary="Report requests that already happened",
        description="One event, an array of at most 1000, or CloudEvents 1.0. Each is logged, priced and debited once: "
        "it is identified by its source and id. An event that cannot be paid is logged as unpaid. A rejected one is "
        "not remembered, and does not affect the others. If a customer's events could not be recorded now, they are "
        "rejected as `unavailable` (or `internal_error`), with `Retry-After`: send them again, or all, since recorded "
        "ones count as duplicates. 503 if nothing could be recorded.",
        tags=["metering"],
        request=EVENTS_OR_ONE,
        responses={202: EventsAnswerSerializer, **METERING_REFUSALS},
    )
    def create(self, request: LeanRequest) -> LeanAnswer:
        answer = reported(request)
        headers = {"Retry-After": RETRY_AFTER_SECONDS} if _count_unrecorded(answer) else {}
        return LeanAnswer(answer, status=202, headers=headers)


class OpenMeterEventsViewSet(EventsViewSet):
    """The same for clients of OpenMeter, which expect an empty response."""

    authentication_classes = (BearerKeyAuthentication,)

    @extend_schema(
        operation_id="openmeter_events",
        summary="Report requests, as OpenMeter's clients do",
        description="The same as /v2/events. A service key may also come as `Authorization: Bearer`. When any event is "
        "rejected the response is a 400 that names it, or a 503 if all should be sent again; the others are recorded.",
        tags=["metering"],
        request=EVENTS_OR_ONE,
        responses={204: None, **METERING_REFUSALS},
    )
    def create(self, request: LeanRequest) -> LeanAnswer:
        answer = reported(request)
        unrecorded = _count_unrecorded(answer)
        if unrecorded:
            raise EventsUnavailable(answer, unrecorded=unrecorded)
        if answer["rejected"]:
            raise EventsRejected(answer)
        return LeanAnswer(None, status=204)


def reported(request: LeanRequest) -> dict[str, Any]:
    """Record the events of a call, and return the result of each.

    :raises ValidationError: if there are too many
    """
    sent = request.data
    events = sent if isinstance(sent, list) else [sent]
    if len(events) > LARGEST_BATCH:
        raise ValidationError({"non_field_errors": [f"At most {LARGEST_BATCH} events may be sent at once."]})
    is_cloud_event = "cloudevents" in (request.META.get("CONTENT_TYPE") or "").lower()
    read = [read_event(event, is_cloud_event=is_cloud_event) for event in events]
    good = [event for event in read if isinstance(event, Event)]
    done = iter(record_events(good, now=timezone.now()))
    results = [each if isinstance(each, Result) else next(done) for each in read]
    counts = Counter(result.status for result in results)
    report = Report(
        accepted=counts["accepted"],
        duplicates=counts["duplicate"],
        rejected=counts["rejected"],
        results=[NamedResult(_id_of(event), result) for event, result in zip(events, results, strict=True)],
    )
    return REPORT.of(report)


def _count_unrecorded(answer: Mapping[str, Any]) -> int:
    codes = {result.code for result in UNRECORDED}
    return sum(result.get("code") in codes for result in answer["results"])


def _id_of(event: Any) -> str | None:
    named = event.get("id") if isinstance(event, dict) else None
    return named if isinstance(named, str) else None
