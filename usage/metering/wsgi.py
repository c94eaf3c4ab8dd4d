"""`MeteredWsgi`: charge for the requests of a whole WSGI application.

app.wsgi_app = MeteredWsgi(app.wsgi_app, "translate")
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterable
from typing import Any

from django.conf import settings
from django.db import close_old_connections
from django.http import HttpResponse

from config.http.answers import error_answer
from config.http.idempotency import REPLAYED
from usage.metering.incoming import incoming
from usage.metering.refusals import REFUSALS, refusal_answer, status_of_failure
from usage.metering.streams import Stream
from usage.metering.terms import Asked, Terms
from usage.metering.work import Metering, begin, settle_or_log

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
METERING = "tollbook.metering"  # where the application finds its Metering, in the environment or the scope


class BodyTooLong(Exception):
    """A repetition is recognised by its whole body, and this one is longer than may be kept in memory."""


class MeteredWsgi:
    """Holds credits for each request, runs the application, and takes what the request cost when its body is closed.

    The terms are those of `metered`; functions among them are called with the environment.
    """

    def __init__(self, application: Any, endpoint: str | Asked | None = None, **terms: Any) -> None:
        self.application = application
        self.terms = Terms(endpoint=endpoint, **terms)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        close_old_connections()
        call = incoming(environ, environ, path=_path(environ), body=lambda: _body(environ))
        try:
            metering = environ[METERING] = begin(self.terms, call)
        except REFUSALS as refusal:
            return _send(refusal_answer(refusal), call.request_id, start_response)
        except BodyTooLong:
            return _send(error_answer(413), call.request_id, start_response)
        statuses = [500]  # until the application sends another

        def started(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            statuses.append(int(status.split(" ", 1)[0]))
            if metering.is_repeat:
                headers = [*headers, (REPLAYED, "true")]
            return start_response(status, headers, *rest)

        try:
            body = self.application(environ, started)
        except BaseException as error:
            _end(metering, status_of_failure(error))
            raise
        return Stream(body, lambda failed: _end(metering, 500 if failed else statuses[-1]))


def _end(metering: Metering, status: int) -> None:
    settle_or_log(metering, status)
    close_old_connections()


def _path(environ: Environ) -> str:
    raw = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    return str(raw).encode("latin-1", "replace").decode("utf-8", "replace") or "/"


def _body(environ: Environ) -> bytes:
    """Read the body, and put it back for the application."""
    limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    declared = str(environ.get("CONTENT_LENGTH") or "0")
    length = int(declared) if declared.isascii() and declared.isdigit() else 0
    if length > limit:
        raise BodyTooLong
    body: bytes = environ["wsgi.input"].read(length) if length else b""
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _send(answer: HttpResponse, request_id: str, start_response: StartResponse) -> Iterable[bytes]:
    headers = [*answer.headers.items(), ("Content-Length", str(len(answer.content))), ("X-Request-Id", request_id)]
    start_response(f"{answer.status_code} {answer.reason_phrase}", headers)
    return [answer.content]
