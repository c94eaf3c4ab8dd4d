"""The Account API's auto-reload: terms, status and history."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from accounts.authentication import caller_id
from config.http.bodies import validated
from config.http.csv_lists import FORMAT, ListViewSet, Sheet, listed
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer
from ledger.models import AutoReload, AutoReloadEvent
from ledger.serializers.auto_reload import AutoReloadSerializer, ReloadChangesSerializer, ReloadEventSerializer
from ledger.services.auto_reload.status import reload_status
from ledger.services.auto_reload.terms import change_auto_reload

CSV_COLUMNS = (
    "id", "created_at", "kind", "by", "reason", "threshold", "amount", "target", "monthly_cap", "currency",
    "payment_id", "payment_state", "sentence",
)  # fmt: skip


def _shown_in_file(event: AutoReloadEvent) -> dict[str, Any]:
    shown: dict[str, Any] = dict(ReloadEventSerializer(event).data)
    payment = shown["payment"] or {}
    return shown | {"payment_id": payment.get("id"), "payment_state": payment.get("state")}


class AutoReloadViewSet(GenericViewSet[Any]):
    """Automatic purchases of credits, by consent."""

    serializer_class = AutoReloadSerializer
    queryset = AutoReload.objects.none()  # each call reads the customer's own
    filter_backends = ()

    @extend_schema(
        operation_id="auto_reload",
        summary="Auto-reload",
        description="Its current status. It is off unless you have agreed to it.",
        tags=["auto-reload"],
        responses={200: AutoReloadSerializer, **REFUSALS},
    )
    def retrieve(self, request: Request) -> Response:
        return self._answer(request)

    @extend_schema(
        operation_id="change_auto_reload",
        summary="Set up auto-reload, or turn it off",
        description="Omitted fields stay as they are. To be on it needs a threshold, an amount or a target, a monthly "
        "cap, a saved card and, whenever any of these is new, `consent`: true. Without it the answer is a 409 whose "
        "`sentence` says what you would agree to; nothing is changed. Send it back as `sentence` with your consent: "
        "if the sentence has changed since, for example by a new price, the answer is a 409 with the new one, and you "
        "have agreed to nothing. After three declined payments in a row, when its card is removed, and after a "
        "dispute or a refund, it turns itself off; it never turns itself on.",
        tags=["auto-reload"],
        request=ReloadChangesSerializer,
        responses={
            200: AutoReloadSerializer,
            400: FieldErrorsSerializer,
            404: ErrorSerializer,
            409: ErrorSerializer,
            **REFUSALS,
        },
    )
    def partial_update(self, request: Request) -> Response:
        asked = validated(ReloadChangesSerializer, request.data)
        change_auto_reload(user_id=caller_id(request), changes=asked, now=timezone.now())
        return self._answer(request)

    def _answer(self, request: Request) -> Response:
        status = reload_status(user_id=caller_id(request), now=timezone.now())
        return Response(AutoReloadSerializer(status).data)


class ReloadHistoryViewSet(ListViewSet[AutoReloadEvent]):
    """Events of auto-reload, newest first."""

    serializer_class = ReloadEventSerializer
    queryset = AutoReloadEvent.objects.none()  # each call is limited to the customer's own
    sheet = Sheet("auto-reload.csv", CSV_COLUMNS, shown=_shown_in_file)

    @extend_schema(
        operation_id="auto_reload_history",
        summary="History of auto-reload",
        description="Who turned it on or off, when and with which sentence, and each payment that it began.",
        tags=["auto-reload"],
        parameters=[FORMAT],
        responses=listed(ReloadEventSerializer, "events"),
    )
    def list(self, request: Request) -> Response | StreamingHttpResponse:
        events = AutoReloadEvent.objects.of(caller_id(request)).select_related("payment").newest_first()
        return self.file_or_page_of(events)
