"""Verdicts on customers' keys."""

from __future__ import annotations

from drf_spectacular.utils import extend_schema

from accounts import key_format
from config.http.lean import LeanAnswer, LeanRequest
from usage.key_verdicts import verdict_on
from usage.serializers.keys import VERDICT, VERDICT_ON_KEY, VerdictSerializer
from usage.views.metering import METERING_REFUSALS, MeteringViewSet


class KeyVerdictsViewSet(MeteringViewSet):
    """The verdict on a charge by a key."""

    @extend_schema(
        operation_id="verify_key",
        summary="Verify a customer's key",
        description="Changes nothing, sets nothing aside and is not counted as a call: what it allows may be refused "
        "later. `rate_limited`: the key has made all its allowed calls of this minute.",
        tags=["metering"],
        request=VERDICT.serializer,
        responses={200: VerdictSerializer, **METERING_REFUSALS},
    )
    def create(self, request: LeanRequest) -> LeanAnswer:
        asked = VERDICT.read(request.data)
        raw = asked["api_key"]
        verdict = verdict_on(
            key_hash=key_format.hash_of(raw) if key_format.is_well_formed(raw) else None,
            endpoint=asked["endpoint"],
            method=asked["method"],
            units=asked["units"],
        )
        return LeanAnswer(VERDICT_ON_KEY.of(verdict))
