"""Parameters that several calls share, as the API's document shows them."""

from __future__ import annotations

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from config.http.idempotency import HEADER, REPLAYED
from config.values.idempotency_keys import LONGEST_KEY

IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[ -~]*[!-~][ -~]*$"},
    OpenApiParameter.HEADER,
    required=True,
    description="Your own name for this very operation: repeating the call with it changes nothing more.",
)


def replayed_header(status: int) -> OpenApiParameter:
    return OpenApiParameter(
        REPLAYED,
        str,
        OpenApiParameter.HEADER,
        enum=["true"],
        response=[status],
        description="An earlier call with this key did it; this one changed nothing.",
    )


def id_parameter(description: str) -> OpenApiParameter:
    return OpenApiParameter("id", OpenApiTypes.INT64, OpenApiParameter.PATH, description=description)
