"""JSON responses with exact decimals, whatever `Accept` says."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.http import HttpRequest
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import BaseParser
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request

from config.values.json import exact_json


class ExactJsonRenderer(BaseRenderer):
    """The API's only ordinary renderer."""

    media_type = "application/json"
    format = "json"
    charset = None  # JSON is UTF-8 by definition: the content type carries no parameter

    def render(
        self,
        data: Any,
        accepted_media_type: str | None = None,  # noqa: ARG002
        renderer_context: Mapping[str, Any] | None = None,  # noqa: ARG002
    ) -> bytes:
        """Return the body for a response's data; None (a 204) has no body."""
        return b"" if data is None else exact_json(data).encode()


class AlwaysJson(BaseContentNegotiation):
    """Choose the view's JSON renderer, or else its first, so `Accept` and `?format=` never cause a 404 or 406."""

    def select_parser(self, request: Request, parsers: Iterable[BaseParser]) -> BaseParser | None:
        """Return the parser with exactly the body's media type; wildcards do not match."""
        sent = (request.content_type or "").partition(";")[0].strip().lower()
        return next((parser for parser in parsers if parser.media_type == sent), None)

    def select_renderer(
        self,
        request: Request | HttpRequest,  # noqa: ARG002
        renderers: Iterable[BaseRenderer],
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        offered = list(renderers)
        chosen = next((each for each in offered if each.media_type == "application/json"), offered[0])
        return chosen, str(chosen.media_type)
