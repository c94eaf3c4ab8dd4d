"""Parameters that several calls share: their OpenAPI description, and how they are parsed."""

from __future__ import annotations

from collections.abc import Sequence

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter

from config.http.idempotency import HEADER, REPLAYED
from config.http.parameters import HasQuery, choice, strict_parameters
from config.values.idempotency_keys import LONGEST_KEY

IDEMPOTENCY_KEY = OpenApiParameter(
    HEADER,
    {"type": "string", "minLength": 1, "maxLength": LONGEST_KEY, "pattern": "^[ -~]*[!-~][ -~]*$"},
    OpenApiParameter.HEADER,
    required=True,
    description="Your own name for this operation: repeating the call with it changes nothing more.",
)


def replayed_header(status: int) -> OpenApiParameter:
    return OpenApiParameter(
        REPLAYED,
        str,
        OpenApiParameter.HEADER,
        enum=["true"],
        response=[status],
        description="Set if an earlier call with this key did the work and this one changed nothing.",
    )


def id_parameter(description: str, *, name: str = "id") -> OpenApiParameter:
    return OpenApiParameter(name, OpenApiTypes.INT64, OpenApiParameter.PATH, description=description)


class ChoiceParameter(OpenApiParameter):
    """An optional query parameter with a few allowed words, declared once for the document and the view."""

    def __init__(self, name: str, words: Sequence[str], description: str) -> None:
        super().__init__(name, str, enum=words, description=description)

    def read(self, request: HasQuery) -> str | None:
        """Return the word that was sent; None if none was.

        :raises ValidationError: naming the parameter and the words
        """
        return choice(strict_parameters(request, {self.name}), self.name, self.enum, default="") or None
