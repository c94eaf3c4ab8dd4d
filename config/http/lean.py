"""Views for hot calls: DRF's rules without the cost of its dispatch.

DRF wraps, negotiates and renders at each call, which on a hot endpoint costs more than the response itself. A lean view
runs the same authenticators, permissions, throttles and parsers in the same order and renders its response directly.
Refusals go through DRF itself, so that they are the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from django.http import HttpRequest, HttpResponse, QueryDict
from django.http.response import HttpResponseBase
from django.utils.functional import cached_property
from rest_framework.exceptions import UnsupportedMediaType
from rest_framework.request import Request
from rest_framework.viewsets import GenericViewSet, ViewSet

from config.http.page_sources import PageSource
from config.http.pagination import StrictLimitOffsetPagination
from config.http.rows import PrintedRows
from config.values.json import exact_json


class LeanRequest:
    """The request that a lean view, its authenticators, permissions and throttles receive."""

    def __init__(self, request: HttpRequest, authenticators: Any, parsers: Any) -> None:
        self._request = request
        self._parsers = parsers
        self.authenticators = authenticators
        self.successful_authenticator: Any = None
        self.META = request.META
        self.method = request.method
        self.user: Any = None
        self.auth: Any = None

    @property
    def request_id(self) -> str:
        """Return the call's `X-Request-Id`."""
        return self._request.request_id  # type: ignore[attr-defined,no-any-return]

    @property
    def query_params(self) -> QueryDict:
        return self._request.GET

    @property
    def GET(self) -> QueryDict:  # noqa: N802  as Django names it
        return self._request.GET

    @property
    def path(self) -> str:
        return self._request.path

    def build_absolute_uri(self, path: str) -> str:
        """Return the absolute URL of a path, with the host of this request."""
        return self._request.build_absolute_uri(path)

    @cached_property
    def data(self) -> Any:
        """Return the body, parsed by its media type; an empty body counts as `{}`.

        :raises UnsupportedMediaType: if no parser accepts it
        """
        sent = self.META.get("CONTENT_TYPE") or ""
        named = sent.partition(";")[0].strip().lower()
        for parser in self._parsers:
            if parser.media_type == named:
                return parser().parse(self._request, sent, {"request": self._request})
        if self.META.get("CONTENT_LENGTH") in {None, "", "0"}:
            return {}
        raise UnsupportedMediaType(sent)


class Printed(str):
    """A response body that is JSON text already."""

    __slots__ = ()


class LeanAnswer:
    """A lean view's response: plain data (None for no body; a Printed as it is), a status and headers."""

    __slots__ = ("data", "headers", "status")

    def __init__(self, data: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> None:
        self.data = data
        self.status = status
        self.headers = headers or {}


class LeanViewSet(ViewSet):
    """A viewset whose actions receive a LeanRequest and return a LeanAnswer, or any other response as it is."""

    def dispatch(self, request: Any, *args: Any, **kwargs: Any) -> HttpResponseBase:
        action = getattr(self, self.action_map.get((request.method or "").lower(), ""), None)
        if action is None:
            return super().dispatch(request, *args, **kwargs)  # a 405, or a HEAD, which DRF derives from GET
        lean = LeanRequest(request, self.authentication_classes, self.parser_classes)
        try:
            self._admit(lean)
            answer = action(lean, *args, **kwargs)
        except Exception as refusal:  # noqa: BLE001  every one of them is answered, or raised again, by DRF
            return self._refuse(request, lean, refusal, *args, **kwargs)
        return _printed(answer)

    def _admit(self, lean: LeanRequest) -> None:
        """Authenticate, check permissions and throttles, in DRF's order."""
        for authenticator in self.authentication_classes:
            asked = authenticator()
            found = asked.authenticate(cast(Request, lean))
            if found is not None:
                lean.user, lean.auth = found
                lean.successful_authenticator = asked
                break
        called: Any = lean._request
        called.user, called.auth = lean.user, lean.auth  # for the logs
        self.check_permissions(cast(Request, lean))
        self.check_throttles(cast(Request, lean))

    def _refuse(
        self, request: HttpRequest, lean: LeanRequest, refusal: Exception, *args: Any, **kwargs: Any
    ) -> HttpResponseBase:
        self.args, self.kwargs, self.headers = args, kwargs, self.default_response_headers
        full = self.request = self.initialize_request(request, *args, **kwargs)
        full.user, full.auth = lean.user, lean.auth  # authenticated already: again would count and record twice
        negotiated = self.perform_content_negotiation(full, force=True)
        full.accepted_renderer, full.accepted_media_type = negotiated
        answer = self.handle_exception(refusal)
        return self.finalize_response(full, answer, *args, **kwargs)


class LeanListViewSet(LeanViewSet, GenericViewSet[Any]):
    """A lean viewset with a list that is printed from rows; filters and pagination are declared as in DRF."""

    def page_of(self, request: LeanRequest, source: PageSource, rows: PrintedRows) -> LeanAnswer:
        """Return the requested page.

        :raises ValidationError: naming `limit`, `offset` or `cursor`
        """
        pages = cast(StrictLimitOffsetPagination, self.paginator)
        page = pages.paginate_queryset(source, cast(Request, request))
        return LeanAnswer(Printed(pages.printed(rows.printed(page))))


def _printed(answer: LeanAnswer | HttpResponseBase) -> HttpResponseBase:
    if isinstance(answer, HttpResponseBase):
        return answer
    data = answer.data
    body = b"" if data is None else (data if isinstance(data, Printed) else exact_json(data)).encode()
    printed = HttpResponse(body, status=answer.status, content_type="application/json")
    if answer.data is None:
        del printed.headers["Content-Type"]
    for name, value in answer.headers.items():
        printed.headers[name] = value
    return printed
