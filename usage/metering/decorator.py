"""`@metered`: charge for the requests of a view of Django or DRF.

class TranslateView(APIView):
    @metered("translate", units=lambda request: len(request.data["text"]))
    def post(self, request): ...
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from asgiref.sync import sync_to_async
from django.core.exceptions import BadRequest
from django.http import HttpRequest, HttpResponse

from config.http.idempotency import REPLAYED
from config.http.throttling import is_counted_by_key
from usage.errors import MeteringUnavailable
from usage.metering.incoming import Incoming, incoming
from usage.metering.refusals import REFUSALS, refusal_answer, status_of_failure
from usage.metering.streams import AsyncStream, Stream
from usage.metering.terms import Amount, Asked, Terms
from usage.metering.work import Metering, begin, settle_or_log

View = TypeVar("View", bound=Callable[..., Any])


def metered(
    endpoint: str | Asked | None = None,
    *,
    units: Amount | Asked = 1,
    credits: Amount | Asked | None = None,
    customer: Asked | None = None,
    expires_in_seconds: int = 900,
    repeat_seconds: int = 600,
    most_repeats: int = 10,
    fail_open: bool = False,
) -> Callable[[View], View]:
    """Hold the credits of a request before a view is called, and charge its cost when the view has responded.

    For a function, or a method of a class-based view, APIView or ViewSet, plain or asynchronous. A request that cannot
    be paid does not reach the view. The view finds its Metering as `request.metering`. An exception, and every response
    with a status from 400 on, costs nothing unless the price charges failures. docs/metering.md has the rest.

    :raises ImproperlyConfigured: if no request could ever be charged on these terms
    """
    terms = Terms(
        endpoint=endpoint,
        units=units,
        credits=credits,
        customer=customer,
        expires_in_seconds=expires_in_seconds,
        repeat_seconds=repeat_seconds,
        most_repeats=most_repeats,
        fail_open=fail_open,
    )

    def decorate(view: View) -> View:
        wrapped: Any = _asynchronous(view, terms) if inspect.iscoroutinefunction(view) else _plain(view, terms)
        return wrapped  # type: ignore[no-any-return]

    return decorate


def _plain(view: Callable[..., Any], terms: Terms) -> Callable[..., Any]:
    @functools.wraps(view)
    def metered_view(*args: Any, **kwargs: Any) -> Any:
        request = _request_among(args)
        try:
            metering = _begin(terms, request)
        except REFUSALS as refusal:
            return _answered(request, refusal)
        try:
            answer = view(*args, **kwargs)
        except BaseException as error:
            settle_or_log(metering, status_of_failure(error))
            raise
        return _end(request, metering, answer)

    return metered_view


def _asynchronous(view: Callable[..., Any], terms: Terms) -> Callable[..., Any]:
    @functools.wraps(view)
    async def metered_view(*args: Any, **kwargs: Any) -> Any:
        request = _request_among(args)
        try:
            metering = await sync_to_async(_begin)(terms, request)
        except REFUSALS as refusal:
            return _answered(request, refusal)
        try:
            answer = await view(*args, **kwargs)
        except BaseException as error:
            await sync_to_async(settle_or_log)(metering, status_of_failure(error))
            raise
        return await sync_to_async(_end)(request, metering, answer)

    return metered_view


def _request_among(args: tuple[Any, ...]) -> Any:
    """Return the request: the first argument of a function, the second of a method."""
    return next(argument for argument in args[:2] if hasattr(argument, "META"))


def _plain_request(request: Any) -> HttpRequest:
    """Return Django's own request, also if DRF has wrapped it."""
    found: HttpRequest = getattr(request, "_request", request)
    return found


def _begin(terms: Terms, request: Any) -> Metering:
    metering = begin(terms, _incoming(request))
    request.metering = _plain_request(request).metering = metering  # type: ignore[attr-defined]
    return metering


def _incoming(request: Any) -> Incoming:
    plain = _plain_request(request)
    return incoming(
        request,
        plain.META,
        path=plain.path,
        body=lambda: _body_of(plain),
        request_id=getattr(plain, "request_id", None),
        is_counted=is_counted_by_key(plain),
    )


def _body_of(plain: HttpRequest) -> bytes:
    """Read the body.

    :raises BadRequest: if Django cannot read its length
    """
    try:
        return plain.body
    except ValueError:
        raise BadRequest("Content-Length must be a number.") from None


def _end(request: Any, metering: Metering, answer: Any) -> Any:
    """Settle the request now, or, when its response is a stream, once that has been closed."""
    status = getattr(answer, "status_code", None) or answer.status  # the latter: of a lean view
    if metering.is_repeat:
        answer.headers[REPLAYED] = "true"
    if getattr(answer, "streaming", False):
        kind = AsyncStream if answer.is_async else Stream
        pieces = answer.streaming_content
        answer.streaming_content = kind(pieces, lambda failed: settle_or_log(metering, 500 if failed else status))
        return answer
    try:
        metering.end(status)
    except MeteringUnavailable as refusal:
        if status < 400:  # nothing that costs is given away unpaid
            return _answered(request, refusal)
    return answer


def _answered(request: Any, refusal: Exception) -> HttpResponse:
    """Return the response to a refusal; within DRF, raise it for the exception handler, which counts it too."""
    if not isinstance(request, HttpRequest):
        raise refusal
    return refusal_answer(refusal)
