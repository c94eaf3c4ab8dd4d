"""Keys: whether a customer's key would do."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema

from accounts import key_format
from config.http.lean import LeanAnswer, LeanRequest
from config.values.credits import plain
from usage.key_verdicts import Code, Verdict, verdict_on
from usage.serializers.keys import VERDICT, VerdictSerializer
from usage.views.metering import METERING_REFUSALS, MeteringViewSet


class KeyVerdictsViewSet(MeteringViewSet):
    """What a charge by a key would come to."""

    @extend_schema(
        operation_id="verify_key",
        summary="Ask whether a customer's key would do",
        description="Changes nothing, sets nothing aside and counts as no call: what it allows may be refused a moment "
        "later. `rate_limited`: the key has made all the calls that it may make in this minute.",
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
        return LeanAnswer(verdict_answer(verdict))


def verdict_answer(verdict: Verdict) -> dict[str, Any]:
    """Give a verdict in the form of VerdictSerializer."""
    required, available = verdict.credits_required, verdict.available
    return {
        "valid": verdict.code == Code.VALID,
        "code": str(verdict.code),
        "user_id": verdict.user_id,
        "scopes": verdict.scopes,
        "credits_required": None if required is None else plain(required),
        "available": None if available is None else plain(available),
        **({} if verdict.budget is None else {"budget": verdict.budget.extra}),
    }
