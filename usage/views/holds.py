"""Holds: credits set aside while services work, and captured or released when they are done."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import extend_schema

from config.http.documented import IDEMPOTENCY_KEY, id_parameter, replayed_header
from config.http.idempotency import sent_idempotency_key
from config.http.lean import LeanAnswer, LeanRequest
from config.http.refusals import ErrorSerializer
from config.values.request_ids import request_uuid
from ledger.errors import HoldNotFound
from ledger.selectors import hold_with_id
from ledger.serializers.account import HoldSerializer, hold_answer
from ledger.services.holds import HoldChange, extend_hold, release_hold
from usage.serializers.holds import CAPTURE, EXTENSION, HOLD, RELEASE, CaptureSerializer, captured_answer
from usage.services.holding import AskedCapture, AskedHold, capture_hold, hold_for_request
from usage.views.metering import (
    METERING_REFUSALS,
    SPENDING_REFUSALS,
    MeteringViewSet,
    done,
    number_of,
    pop_customer,
    pop_customer_id,
)

HOLD_ID = id_parameter("The hold's id.")
CHANGE = {"tags": ["metering"], "parameters": [HOLD_ID, IDEMPOTENCY_KEY, replayed_header(200)]}
# The refusals of a change of a hold: not found, settled, or not possible in its state.
HOLD_REFUSALS: dict[Any, Any] = dict.fromkeys((404, 409, 422), ErrorSerializer) | METERING_REFUSALS


class HoldsViewSet(MeteringViewSet):
    """Credits set aside for work that has begun."""

    @extend_schema(
        operation_id="open_hold",
        summary="Set credits aside",
        description="The given `credits`, or the current cost of `units` of `endpoint`. They cannot be spent otherwise "
        "until the hold is captured, released or expired. A hold by a customer's key is one of its calls a minute; its "
        "captures are not.",
        tags=["metering"],
        parameters=[IDEMPOTENCY_KEY, replayed_header(201)],
        request=HOLD.serializer,
        responses={201: HoldSerializer, **SPENDING_REFUSALS},
    )
    def create(self, request: LeanRequest) -> LeanAnswer:
        idempotency_key = sent_idempotency_key(request.META)
        asked = HOLD.read(request.data)
        customer = pop_customer(asked)
        change = hold_for_request(AskedHold(**customer, **asked, idempotency_key=idempotency_key))
        return _changed(change, status=201)

    @extend_schema(
        operation_id="hold",
        summary="One hold",
        description="Its current state. A hold is expired as soon as its time is over.",
        tags=["metering"],
        parameters=[HOLD_ID],
        responses={200: HoldSerializer, 404: ErrorSerializer, **METERING_REFUSALS},
    )
    def retrieve(self, request: LeanRequest, id: str) -> LeanAnswer:  # noqa: ARG002
        hold = hold_with_id(number_of(id, HoldNotFound))
        return LeanAnswer(hold_answer(hold, timezone.now()))

    @extend_schema(
        operation_id="capture_hold",
        summary="Spend what was held",
        description="Debits it, logs the request that it was held for, and gives the rest back unless `final` is "
        "false. What is not said of the request is as it was when the hold was opened.",
        request=CAPTURE.serializer,
        responses={200: CaptureSerializer, **HOLD_REFUSALS},
        **CHANGE,
    )
    def capture(self, request: LeanRequest, id: str) -> LeanAnswer:
        hold_id = number_of(id, HoldNotFound)
        idempotency_key = sent_idempotency_key(request.META)
        asked = CAPTURE.read(request.data)
        user_id = pop_customer_id(asked, operation="capture_hold", idempotency_key=idempotency_key)
        named = AskedCapture(hold_id=hold_id, user_id=user_id, idempotency_key=idempotency_key, **asked)
        captured = capture_hold(named._replace(request_id=request_uuid(request.request_id)))
        return done(captured_answer(captured, timezone.now()), status=200, is_replay=captured.is_replay)

    @extend_schema(
        operation_id="release_hold",
        summary="Give back what was held",
        request=RELEASE.serializer,
        responses={200: HoldSerializer, **HOLD_REFUSALS},
        **CHANGE,
    )
    def release(self, request: LeanRequest, id: str) -> LeanAnswer:
        hold_id = number_of(id, HoldNotFound)
        idempotency_key = sent_idempotency_key(request.META)
        asked = RELEASE.read(request.data)
        user_id = pop_customer_id(asked, operation="release_hold", idempotency_key=idempotency_key)
        return _changed(release_hold(hold_id=hold_id, user_id=user_id, idempotency_key=idempotency_key), status=200)

    @extend_schema(
        operation_id="extend_hold",
        summary="Extend a hold",
        description="It then expires `expires_in` seconds from now, and never earlier than before.",
        request=EXTENSION.serializer,
        responses={200: HoldSerializer, **HOLD_REFUSALS},
        **CHANGE,
    )
    def extend(self, request: LeanRequest, id: str) -> LeanAnswer:
        hold_id = number_of(id, HoldNotFound)
        idempotency_key = sent_idempotency_key(request.META)
        asked = EXTENSION.read(request.data)
        user_id = pop_customer_id(asked, operation="extend_hold", idempotency_key=idempotency_key)
        change = extend_hold(hold_id=hold_id, user_id=user_id, idempotency_key=idempotency_key, **asked)
        return _changed(change, status=200)


def _changed(change: HoldChange, *, status: int) -> LeanAnswer:
    return done(hold_answer(change.hold, timezone.now()), status=status, is_replay=change.is_replay)
