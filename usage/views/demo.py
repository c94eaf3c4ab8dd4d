"""The demo company's product: a service that charges for its work (docs/metering.md). Not routed in production."""

from __future__ import annotations

from typing import Any, cast

from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.authentication import ApiKeyAuthentication
from config.http.documented import IDEMPOTENCY_KEY, replayed_header
from config.http.idempotency import HEADER
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer
from ledger.selectors import balance_of
from ledger.serializers.account import InsufficientCreditsSerializer
from usage.metering import metered
from usage.serializers.demo import TRANSLATED, TRANSLATION, Translation, TranslationSerializer

CHARACTERS_A_UNIT = 100
_UPRIGHT = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ123456790.,?!'_()[]{}<>"
_TURNED = "ɐqɔpǝɟƃɥᴉɾʞlɯuodbɹsʇnʌʍxʎz∀ᗺƆᗡƎℲ⅁HIſꓘ⅂WNOԀꝹᴚS⊥∩ΛMX⅄ZƖᄅƐㄣϛ9ㄥ60˙'¿¡,‾)(][}{><"
_TURN = str.maketrans(_UPRIGHT, _TURNED)


def units_of(request: Request) -> int:
    """Return one unit for every 100 characters, or part of them, of a text.

    :raises ValidationError: naming what is wrong with the body
    """
    asked = TRANSLATION.read(cast(dict[str, Any], request.data))
    return -(-len(asked["text"]) // CHARACTERS_A_UNIT)


class TranslationViewSet(ViewSet):
    """Translations, paid with credits."""

    authentication_classes = (ApiKeyAuthentication,)
    permission_classes: Any = ()  # any live key of a customer: `metered` checks it

    @extend_schema(
        operation_id="demo_translate",
        summary="Translate a text",
        description="The demo company's own API, as one of your services would be: credits are held before the work, "
        "one unit of `translate` for every 100 characters begun, and taken after it. Not there in production.",
        tags=["demo"],
        parameters=[
            OpenApiParameter(
                HEADER,
                IDEMPOTENCY_KEY.type,
                OpenApiParameter.HEADER,
                description="Your own name for this request: repeating it within ten minutes costs nothing more.",
            ),
            replayed_header(200),
        ],
        request=TRANSLATION.serializer,
        responses={
            200: TranslationSerializer,
            402: InsufficientCreditsSerializer,
            409: ErrorSerializer,
            422: ErrorSerializer,
            400: FieldErrorsSerializer,
            **REFUSALS,
        },
    )
    @metered("translate", units=units_of)
    def create(self, request: Any) -> Response:
        text = TRANSLATION.read(request.data)["text"]
        remaining = balance_of(user_id=request.metering.user_id).available
        return Response(TRANSLATED.of(Translation(text[::-1].translate(_TURN), request.metering.held, remaining)))
