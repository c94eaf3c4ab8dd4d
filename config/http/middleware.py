"""The outermost middleware: an id on every response, and one format of errors on every API path."""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Callable
from typing import Any, cast

from django.core.exceptions import DisallowedHost, PermissionDenied, RequestDataTooBig
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse, UnreadablePostError
from django.http.response import HttpResponseBase
from django.template.loader import render_to_string

from config.db.failures import count_database_error, is_database_away
from config.http.answers import RETRY_AFTER_SECONDS, error_answer
from config.http.api_paths import is_api_path
from config.http.body_limits import REFUSED_BODY, body_limit, too_large
from config.http.downloads import begin_download
from config.http.throttling import count_unrouted, rate_headers
from config.values.request_ids import chosen_request_id, current_request_id

GetResponse = Callable[[HttpRequest], HttpResponseBase]

_CACHEABLE_PATHS = frozenset({"/api/schema", "/api/docs"})

logger = logging.getLogger(__name__)


class RequestIdMiddleware:
    """Set the request id on `request.request_id`, in the log context and on the response."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        request_id = chosen_request_id(request.META.get("HTTP_X_REQUEST_ID"))
        request.request_id = request_id  # type: ignore[attr-defined]
        token = current_request_id.set(request_id)
        try:
            answer = self.get_response(request)
        finally:
            current_request_id.reset(token)
        answer.headers["X-Request-Id"] = request_id
        return answer


class JsonErrorsMiddleware:
    """Set the common headers of every API response, and the format of every error, wherever it was made."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_api_path(request.path_info):
            return self.get_response(request)
        answer = _refused_unread(request) or _one_download(request, self.get_response(request))
        count = count_unrouted(request)
        if count is not None and not count.allowed and 400 <= answer.status_code < 500:
            answer = _reworded(answer, 429)
        elif answer.status_code >= 400 and _is_foreign(answer):
            answer = _reworded(answer, answer.status_code)
        if count is not None:
            for name, value in rate_headers(count).items():
                answer.headers.setdefault(name, value)
        if request.path_info not in _CACHEABLE_PATHS or answer.status_code >= 400:
            answer.headers["Cache-Control"] = "no-store"
        _offer_no_options(answer)
        if request.method == "HEAD" and answer.streaming:
            answer.streaming_content = iter(())  # type: ignore[attr-defined]
        return answer

    def process_exception(self, request: HttpRequest, exception: Exception) -> HttpResponse | None:
        """Return a response for an exception of a view; None for unknown ones, which are logged and become a 500."""
        if not is_api_path(request.path_info):
            return None
        if isinstance(exception, Http404):
            return error_answer(404)
        if isinstance(exception, PermissionDenied):
            return error_answer(403)
        if is_database_away(exception):
            count_database_error(exception)
            logger.error("The database is away.", exc_info=exception)
            return error_answer(503)
        return None


def bad_request(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    """Return the response to a 400 that Django raised outside any view (URLconf `handler400`)."""
    if isinstance(exception, DisallowedHost):
        return _page_or_json(request, 400, detail="The Host header names none of this site's hosts.")
    return _page_or_json(request, 413 if isinstance(exception, RequestDataTooBig) else 400)


def permission_denied(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    """Return a 403 (URLconf `handler403`)."""
    return _page_or_json(request, 403)


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:  # noqa: ARG001
    """Return a 404 (URLconf `handler404`)."""
    return _page_or_json(request, 404)


def server_error(request: HttpRequest) -> HttpResponse:
    """Return the response to an unhandled exception (URLconf `handler500`): 503 if the database is away, else 500."""
    error = sys.exc_info()[1]
    if hasattr(error, "retry_after_seconds"):
        return _page_or_json(request, 503)
    if error is None or not is_database_away(error):
        return _page_or_json(request, 500)
    count_database_error(error)
    return _page_or_json(request, 503)


def _page_or_json(request: HttpRequest, status: int, *, detail: str = "") -> HttpResponse:
    answer = error_answer(status, detail=detail)
    if is_api_path(request.path_info):
        return answer
    # Without the request: looking up who has signed in queries the database, which may be broken.
    answer.content = render_to_string("error.html", {"status": status}).encode()
    answer.headers["Content-Type"] = "text/html; charset=utf-8"
    return answer


def _is_foreign(answer: HttpResponseBase) -> bool:
    """Return whether an error response lacks the API's format."""
    content_type = answer.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    return content_type != "application/json"


def _reworded(answer: HttpResponseBase, status: int) -> HttpResponse:
    """Return the error in the API's format, with every header and cookie that does not describe the body."""
    made = error_answer(status)
    for name, value in answer.headers.items():
        if not name.lower().startswith("content-"):
            made.headers[name] = value
    made.headers["Content-Length"] = str(len(made.content))
    made.headers["X-Content-Type-Options"] = "nosniff"
    made.cookies = answer.cookies
    return made


def _offer_no_options(answer: HttpResponseBase) -> None:
    """Remove OPTIONS from `Allow`: Django lists it on every view, but here it is a 405."""
    allow = answer.headers.get("Allow")
    if allow:
        methods = [method for method in allow.split(", ") if method != "OPTIONS"]
        answer.headers["Allow"] = ", ".join(methods)


def _refused_unread(request: HttpRequest) -> HttpResponse | None:
    """Refuse a body that is too large or did not come in time, before authentication."""
    refused = request.META.get(REFUSED_BODY)
    if refused is not None:
        return error_answer(refused, headers={"Connection": "close"})
    _take_in_chunks(request)
    length = request.META.get("CONTENT_LENGTH") or ""
    if not (length.isascii() and length.isdigit()) or int(length) <= body_limit(request.path_info):
        return None
    return error_answer(413, detail=too_large(body_limit(request.path_info)))


def _one_download(request: HttpRequest, answer: HttpResponseBase) -> HttpResponseBase:
    """Refuse a stream to a customer who has another download open."""
    if not answer.streaming or begin_download(request, cast(StreamingHttpResponse, answer)):
        return answer
    answer.close()
    return error_answer(429, headers={"Retry-After": RETRY_AFTER_SECONDS})


def _take_in_chunks(request: Any) -> None:
    """Read a chunked body, which has no length: Django would treat it as empty.

    Our own server reads it before the call (config/server); this is for other servers.
    """
    if request.META.get("CONTENT_LENGTH") or "chunked" not in request.META.get("HTTP_TRANSFER_ENCODING", "").lower():
        return
    stream = request.META.get("wsgi.input")
    if stream is None:
        return
    try:
        body = stream.read(body_limit(request.path_info) + 1)
    except (OSError, UnreadablePostError):
        body = b""
    request._stream = io.BytesIO(body)
    request.META["CONTENT_LENGTH"] = str(len(body))
