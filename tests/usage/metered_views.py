"""A URLconf of metered views, of every kind that `metered` supports."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

from django.http import Http404, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from rest_framework.decorators import api_view, authentication_classes, permission_classes
from rest_framework.exceptions import ValidationError
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from config.http.lean import LeanAnswer, LeanViewSet
from ledger.models import Hold
from tests.ledger.posting import run_out
from usage.metering import metered

worked: list[Any] = []  # what each view has worked on, in order


def work(request: Any) -> dict[str, Any]:
    """Do as the call's query says, and record the call."""
    asked = getattr(request, "_request", request).GET
    worked.append(request.metering)
    if "units" in asked:
        request.metering.use(units=asked["units"])
    if "credits" in asked:
        request.metering.use(credits=asked["credits"])
    if "raise" in asked:
        raise {
            "bug": ZeroDivisionError("secret"),
            "missing": Http404("nowhere"),
            "invalid": ValidationError({"text": ["No."]}),
        }[asked["raise"]]
    return {"held": str(request.metering.held)}


def status_of(request: Any) -> int:
    return int(getattr(request, "_request", request).GET.get("status", 200))


@metered("search", units=5)
def plain(request: Any) -> HttpResponse:
    return JsonResponse(work(request), status=status_of(request))


class PlainView(View):
    @metered("search", units=5)
    def post(self, request: Any) -> HttpResponse:
        return JsonResponse(work(request), status=status_of(request))


@method_decorator(metered("search", units=5), name="post")
class DecoratedView(View):
    def post(self, request: Any) -> HttpResponse:
        return JsonResponse(work(request), status=status_of(request))


class OpenView(APIView):
    authentication_classes = ()
    permission_classes = ()


class RestView(OpenView):
    @metered("search", units=5)
    def post(self, request: Any) -> Response:
        return Response(work(request), status=status_of(request))


class RestViewSet(ViewSet):
    authentication_classes = ()
    permission_classes = ()

    @metered("search", units=5)
    def create(self, request: Any) -> Response:
        return Response(work(request), status=status_of(request))


class LeanRestViewSet(LeanViewSet):
    authentication_classes = ()
    permission_classes: Any = ()

    @metered("search", units=5)
    def create(self, request: Any) -> LeanAnswer:
        return LeanAnswer(work(request), status=status_of(request))


@api_view(["POST"])
@authentication_classes([])
@permission_classes([])
@metered("search", units=5)
def rest_function(request: Any) -> Response:
    return Response(work(request), status=status_of(request))


@metered("search", units=5)
async def asynchronous(request: Any) -> HttpResponse:
    return JsonResponse(work(request), status=status_of(request))


class ByBodyView(OpenView):
    @metered("search", units=lambda request: len(request.data["words"]))
    def post(self, request: Any) -> Response:
        return Response(work(request) | {"words": len(request.data["words"])})


@metered("search", units=5)
def stream(request: Any) -> StreamingHttpResponse:
    def pieces() -> Iterator[bytes]:
        for number in range(1, 4):
            request.metering.use(units=number)
            yield b"."
            if request.GET.get("break") == str(number):
                raise ZeroDivisionError("secret")

    worked.append(request.metering)
    return StreamingHttpResponse(pieces())


@metered("search", customer=lambda request: int(request.GET["user"]) if "user" in request.GET else None)
def by_user(request: Any) -> HttpResponse:
    return JsonResponse(work(request))


@metered(credits=Decimal("2.5"))
def by_credits(request: Any) -> HttpResponse:
    return JsonResponse(work(request), status=status_of(request))


@metered()
def by_path(request: Any, name: str) -> HttpResponse:
    return JsonResponse(work(request) | {"name": name})


@metered("search", expires_in_seconds=30)
def slow(request: Any) -> HttpResponse:
    """Work until the hold of the call has expired, unless it is extended."""
    held = Hold.objects.latest("id")
    if "extend" in request.GET:
        request.metering.extend(60)
    run_out(held)
    return JsonResponse(work(request))


KINDS = ("plain", "class", "decorated", "rest", "viewset", "lean", "function", "async")

urlpatterns = [
    path("v2/plain", plain),
    path("v2/class", PlainView.as_view()),
    path("v2/decorated", DecoratedView.as_view()),
    path("v2/rest", RestView.as_view()),
    path("v2/viewset", RestViewSet.as_view({"post": "create"})),
    path("v2/lean", LeanRestViewSet.as_view({"post": "create"})),
    path("v2/function", rest_function),
    path("v2/async", asynchronous),
    path("v2/by-body", ByBodyView.as_view()),
    path("v2/stream", stream),
    path("v2/by-user", by_user),
    path("v2/by-credits", by_credits),
    path("v2/by-path/<str:name>", by_path),
    path("v2/slow", slow),
]

handler400 = "config.http.middleware.bad_request"
handler404 = "config.http.middleware.not_found"
handler500 = "config.http.middleware.server_error"
