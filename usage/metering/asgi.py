"""`MeteredAsgi`: charge for the requests of a whole ASGI application.

app.add_middleware(MeteredAsgi, endpoint="translate")
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from asgiref.sync import sync_to_async
from django.conf import settings
from django.db import close_old_connections
from django.http import HttpResponse

from config.http.answers import error_answer
from config.http.idempotency import REPLAYED
from usage.metering.incoming import Incoming, incoming
from usage.metering.refusals import REFUSALS, refusal_answer, status_of_failure
from usage.metering.terms import Asked, Terms
from usage.metering.work import Metering, begin, settle_or_log
from usage.metering.wsgi import METERING, BodyTooLong

Scope = dict[str, Any]
Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class MeteredAsgi:
    """Holds credits for each HTTP request, runs the application, and takes what the request cost when it is done.

    The terms are those of `metered`; functions among them are called with the scope. The ledger is called in threads.
    """

    def __init__(self, app: Any, endpoint: str | Asked | None = None, **terms: Any) -> None:
        self.app = app
        self.terms = Terms(endpoint=endpoint, **terms)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        meta = _meta(scope)
        body = b""
        if meta.get("HTTP_IDEMPOTENCY_KEY"):
            try:
                body, receive = await _buffered(receive)
            except BodyTooLong:
                await _answer(error_answer(413), meta, send)
                return
        call = incoming(scope, meta, path=scope["path"], body=lambda: body)
        try:
            metering = scope[METERING] = await _in_thread(_begin)(self.terms, call)
        except REFUSALS as refusal:
            await _answer(refusal_answer(refusal), meta | {"HTTP_X_REQUEST_ID": call.request_id}, send)
            return
        await self._run(scope, receive, send, metering)

    async def _run(self, scope: Scope, receive: Receive, send: Send, metering: Metering) -> None:
        status = 500  # until the application sends another

        async def sent(message: Any) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                if metering.is_repeat:
                    replayed = (REPLAYED.lower().encode(), b"true")
                    message = {**message, "headers": [*message.get("headers", ()), replayed]}
            await send(message)

        try:
            await self.app(scope, receive, sent)
        except BaseException as error:
            await _in_thread(_end)(metering, status_of_failure(error))
            raise
        await _in_thread(_end)(metering, status)


def _in_thread(function: Any) -> Any:
    """Call the ledger in a thread, so that many requests can at once: each thread has a connection of its own."""
    return sync_to_async(function, thread_sensitive=False)


def _begin(terms: Terms, call: Incoming) -> Metering:
    close_old_connections()
    return begin(terms, call)


def _end(metering: Metering, status: int) -> None:
    settle_or_log(metering, status)
    close_old_connections()


def _meta(scope: Scope) -> dict[str, str]:
    meta = {"REQUEST_METHOD": scope["method"], "QUERY_STRING": scope.get("query_string", b"").decode("latin-1")}
    for name, value in scope["headers"]:
        meta["HTTP_" + name.decode("latin-1").upper().replace("-", "_")] = value.decode("latin-1")
    return meta


async def _buffered(receive: Receive) -> tuple[bytes, Receive]:
    """Read the body, and return it with a `receive` that starts with it."""
    body, message = b"", {"more_body": True}
    while message.get("more_body"):
        message = await receive()
        body += message.get("body", b"")
        if len(body) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            raise BodyTooLong
    first = [{"type": "http.request", "body": body, "more_body": False}]

    async def again() -> Any:
        return first.pop() if first else await receive()

    return body, again


async def _answer(answer: HttpResponse, meta: dict[str, str], send: Send) -> None:
    named = {**answer.headers, "Content-Length": str(len(answer.content))}
    if "HTTP_X_REQUEST_ID" in meta:
        named["X-Request-Id"] = meta["HTTP_X_REQUEST_ID"]
    headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in named.items()]
    await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
    await send({"type": "http.response.body", "body": answer.content})
