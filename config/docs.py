"""The OpenAPI document and the page that shows it; both come from the code and load nothing from other hosts."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, ClassVar

from django.conf import settings
from django.http import HttpRequest, HttpResponse
from drf_spectacular.generators import SchemaGenerator
from drf_spectacular.renderers import OpenApiJsonRenderer, OpenApiJsonRenderer2, OpenApiYamlRenderer
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.renderers import BaseRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from config.http.parameters import choice, strict_parameters
from config.http.renderers import ExactJsonRenderer

_BY_ACCEPT = {
    "application/json": OpenApiJsonRenderer2,
    "application/vnd.oai.openapi+json": OpenApiJsonRenderer,
}
_BY_MEDIA_TYPE: dict[str, Any] = {**_BY_ACCEPT, str(OpenApiYamlRenderer.media_type): OpenApiYamlRenderer}


class SchemaNegotiation(DefaultContentNegotiation):
    """Choose YAML, unless `format=json` or `Accept` ask for JSON."""

    def select_renderer(
        self,
        request: Request | HttpRequest,
        renderers: Iterable[BaseRenderer],  # noqa: ARG002
        format_suffix: str | None = None,  # noqa: ARG002
    ) -> tuple[BaseRenderer, str]:
        renderer = self._renderer(request)
        return renderer, str(renderer.media_type)

    def _renderer(self, request: Request | HttpRequest) -> Any:
        named = request.GET.get("format")
        if named:
            return OpenApiJsonRenderer2() if named == "json" else OpenApiYamlRenderer()
        for accepted in request.META.get("HTTP_ACCEPT", "").split(","):
            media_type = accepted.partition(";")[0].strip().lower()
            if media_type in _BY_ACCEPT:
                return _BY_ACCEPT[media_type]()
        return OpenApiYamlRenderer()


class SchemaView(SpectacularAPIView):
    """`GET /api/schema`: OpenAPI 3.1."""

    content_negotiation_class = SchemaNegotiation
    throttle_classes: ClassVar[list[Any]] = []

    @extend_schema(exclude=True)
    def get(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:  # noqa: ARG002
        choice(strict_parameters(request, {"format"}), "format", ("json", "yaml"), default="yaml")
        renderer = request.accepted_renderer
        return HttpResponse(
            _document(str(renderer.media_type), settings.ROOT_URLCONF),
            content_type=f"{renderer.media_type}; charset={renderer.charset}"
            if renderer.charset
            else renderer.media_type,
            headers={"Content-Disposition": f'inline; filename="Tollbook.{renderer.format}"'},
        )

    def handle_exception(self, exc: Exception) -> Response:
        """Return errors as JSON, whatever the format of the document."""
        self.request.accepted_renderer = ExactJsonRenderer()
        self.request.accepted_media_type = ExactJsonRenderer.media_type
        answer: Response = super().handle_exception(exc)
        return answer


@lru_cache(maxsize=8)
def _document(media_type: str, urlconf: str) -> bytes:
    """Return the document in one format, generated once per process: that takes a tenth of a second."""
    made = SchemaGenerator(urlconf=urlconf).get_schema(request=None, public=True)
    renderer = _BY_MEDIA_TYPE[media_type]()
    written: bytes = renderer.render(made, renderer_context={})
    return written


class DocsView(SpectacularSwaggerSplitView):
    """`GET /api/docs`: the document as a page, from bundled files and without inline scripts."""

    url_name = "schema"
    throttle_classes: ClassVar[list[Any]] = []
