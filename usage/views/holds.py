"""Holds: credits set aside while services work, and paid or given back when they are done."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema

from accounts.serializers import ErrorSerializer
from config.http.lean import LeanAnswer, LeanRequest
from ledger.errors import HoldNotFound
from ledger.selectors import hold_with_id
from ledger.serializers import HoldSerializer, hold_answer
from usage.views.metering import METERING_REFUSALS, MeteringViewSet, id_parameter, number_of

HOLD_ID = id_parameter("The hold's id.")


class HoldsViewSet(MeteringViewSet):
    """Credits set aside for work that has begun."""

    @extend_schema(
        operation_id="hold",
        summary="One hold",
        description="As it is now: one that has run out is expired from that very moment.",
        tags=["metering"],
        parameters=[HOLD_ID],
        responses={200: HoldSerializer, 404: ErrorSerializer, **METERING_REFUSALS},
    )
    def retrieve(self, request: LeanRequest, id: str) -> LeanAnswer:  # noqa: ARG002
        hold = hold_with_id(number_of(id, HoldNotFound))
        return LeanAnswer(hold_answer(hold, timezone.now()))
