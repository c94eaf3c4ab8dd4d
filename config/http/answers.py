"""The one shape of an error, and the sentences for those that no view words itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse

from config.values.json import exact_json

RETRY_AFTER_SECONDS = "5"

# What an answer says when the error came from outside any view: status → (code, sentence).
WORDS_BY_STATUS: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request is malformed."),
    401: ("not_authenticated", "Authentication credentials were not provided."),
    403: ("permission_denied", "You do not have permission to perform this action."),
    404: ("not_found", "Not found."),
    405: ("method_not_allowed", "This method is not allowed here."),
    408: ("body_too_late", "The request's body did not come in time."),
    413: ("body_too_large", "The request's body is too large."),
    415: ("unsupported_media_type", "This media type is not supported."),
    429: ("rate_limited", "Rate limit exceeded. Please try again later."),
    500: ("internal_error", "An internal error occurred."),
    503: ("unavailable", "The service is temporarily unavailable. Please try again."),
}


def error_body(
    status: int, *, code: str = "", detail: str = "", extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Make the body of an error; code and sentence default to the status's own."""
    default_code, default_detail = WORDS_BY_STATUS.get(status) or WORDS_BY_STATUS[400 if status < 500 else 500]
    return {"detail": detail or default_detail, "code": code or default_code, **(extra or {})}


def error_answer(
    status: int,
    *,
    code: str = "",
    detail: str = "",
    extra: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
) -> HttpResponse:
    """Make a whole error answer, for places where no view or renderer is at hand."""
    body = exact_json(error_body(status, code=code, detail=detail, extra=extra))
    answer = HttpResponse(body.encode(), status=status, content_type="application/json", headers=dict(headers or {}))
    if status == 503:
        answer.headers.setdefault("Retry-After", RETRY_AFTER_SECONDS)
    return answer
