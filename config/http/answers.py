"""The format of every error, and the default sentences."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.http import HttpResponse

from config.values.json import exact_json
from config.values.statuses import WORDS_BY_STATUS

RETRY_AFTER_SECONDS = "5"


def error_body(
    status: int, *, code: str = "", detail: str = "", extra: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Return the body of an error; code and sentence default to those of the status."""
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
    """Return a whole error response, for code without a view or renderer."""
    body = exact_json(error_body(status, code=code, detail=detail, extra=extra))
    answer = HttpResponse(body.encode(), status=status, content_type="application/json", headers=dict(headers or {}))
    if status == 503:
        answer.headers.setdefault("Retry-After", RETRY_AFTER_SECONDS)
    return answer
