"""Charges, for requests as they happen, and their refunds."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema

from config.http.documented import IDEMPOTENCY_KEY, id_parameter, replayed_header
from config.http.idempotency import sent_idempotency_key
from config.http.lean import LeanAnswer, LeanRequest
from config.http.refusals import ErrorSerializer
from config.values.request_ids import request_uuid
from ledger.errors import ChargeNotFound
from ledger.serializers.account import RefundSerializer
from usage.serializers.charges import CHARGE, CHARGED, REFUND, ChargeSerializer
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request
from usage.services.charges.refunds import refund_charge
from usage.views.metering import (
    METERING_REFUSALS,
    SPENDING_REFUSALS,
    MeteringViewSet,
    done,
    number_of,
    pop_customer,
    pop_customer_id,
)


class ChargesViewSet(MeteringViewSet):
    """Requests that customers pay for."""

    @extend_schema(
        operation_id="charge",
        summary="Charge one request",
        description="Finds the customer, prices the request, debits and logs it: all or nothing. The most specific "
        "price of the endpoint applies, unless `credits` are given. What failed costs nothing, unless its price says "
        "so or `credits` are given. A refusal for want of credits is logged as rejected. A repetition under its "
        "idempotency key is answered though the key or its customer has ended since; beyond the calls a minute of a "
        "customer's key a charge by it is a 429, and costs nothing.",
        tags=["metering"],
        parameters=[IDEMPOTENCY_KEY, replayed_header(201)],
        request=CHARGE.serializer,
        responses={201: ChargeSerializer, **SPENDING_REFUSALS},
    )
    def create(self, request: LeanRequest) -> LeanAnswer:
        idempotency_key = sent_idempotency_key(request.META)
        asked = CHARGE.read(request.data)
        customer = pop_customer(asked)
        request_id = request_uuid(request.request_id)
        charge = charge_request(
            AskedCharge(**customer, **asked, idempotency_key=idempotency_key, request_id=request_id)
        )
        return done(CHARGED.of(charge), status=201, is_replay=charge.is_replay)

    @extend_schema(
        operation_id="refund",
        summary="Refund a charge",
        description="Wholly or in part, as long as something is left of it, however old it is.",
        tags=["metering"],
        parameters=[
            id_parameter("The charge's id, or a capture's entry_id."),
            IDEMPOTENCY_KEY,
            replayed_header(201),
        ],
        request=REFUND.serializer,
        responses={201: RefundSerializer, 404: ErrorSerializer, 422: ErrorSerializer, **METERING_REFUSALS},
    )
    def refund(self, request: LeanRequest, id: str) -> LeanAnswer:
        charge_id = number_of(id, ChargeNotFound)
        idempotency_key = sent_idempotency_key(request.META)
        asked = REFUND.read(request.data)
        user_id = pop_customer_id(asked, operation="refund", idempotency_key=idempotency_key)
        refund = refund_charge(charge_id=charge_id, user_id=user_id, idempotency_key=idempotency_key, **asked)
        return done(RefundSerializer(refund.entry).data, status=201, is_replay=refund.is_replay)
