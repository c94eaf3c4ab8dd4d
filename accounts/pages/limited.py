"""A form's refusal after too many failures as a 429, on the pages of django-allauth and ours alike."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters

from accounts.backends import TOO_MANY

View = Callable[..., HttpResponseBase]


def limited(view: View) -> View:
    """Wrap a view whose form counts guesses: too many are a 429 with Retry-After, and nothing of it is cached."""

    @wraps(view)
    def answering(request: HttpRequest, *args: Any, **named: Any) -> HttpResponseBase:
        return as_too_many_requests(view(request, *args, **named))

    return never_cache(sensitive_post_parameters()(answering))


def as_too_many_requests(answer: HttpResponseBase) -> HttpResponseBase:
    """Turn a form's response about too many failures into a 429 with Retry-After."""
    wait = _wait_of(answer)
    if wait is not None:
        answer.status_code = 429
        answer.headers["Retry-After"] = str(wait)
    return answer


def _wait_of(answer: HttpResponseBase) -> int | None:
    """Return how many seconds the form asks to wait; None if it has no such error."""
    context: Any = getattr(answer, "context_data", None) or {}
    form = context.get("form")
    errors = [error for each in form.errors.as_data().values() for error in each] if form is not None else []
    return next((error.params["retry_after_seconds"] for error in errors if error.code == TOO_MANY), None)
