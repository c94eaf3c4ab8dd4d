"""The Account API's disputes of debits."""

from __future__ import annotations

from typing import Any

from django.db.models import Prefetch
from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller_id
from config.http.bodies import validated
from config.http.csv_lists import FORMAT, ListViewSet, Sheet, listed
from config.http.documented import IDEMPOTENCY_KEY, ChoiceParameter, id_parameter, replayed_header
from config.http.idempotency import HEADER, REPLAYED, sent_idempotency_key
from config.http.parameters import path_number
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer
from ledger.dispute_errors import DisputeNotFound
from ledger.models import DisputeMessage, EntryDispute, EntryDisputeReason, EntryDisputeState
from ledger.serializers.disputes import DisputeSerializer, NewDisputeSerializer, NewMessageSerializer
from ledger.services.disputes.closing import withdraw_dispute
from ledger.services.disputes.opening import open_dispute
from ledger.services.disputes.talking import write_message

STATE = ChoiceParameter("state", EntryDisputeState.values, "Only disputes in this state.")
OWN_KEY = OpenApiParameter(
    HEADER,
    IDEMPOTENCY_KEY.type,
    OpenApiParameter.HEADER,
    description="Your own name for this operation, if you like: repeating the call with it changes nothing more.",
)
_REFUSED = {400: FieldErrorsSerializer, 404: ErrorSerializer, 409: ErrorSerializer, 422: ErrorSerializer, **REFUSALS}


class DisputesViewSet(ListViewSet[EntryDispute]):
    """Disputes of the customer's debits."""

    serializer_class = DisputeSerializer
    queryset = EntryDispute.objects.none()  # each call is limited to the customer's own
    sheet = Sheet("disputes.csv", ("id", "created_at", "entry_id", "reason", "state", "credits_returned", "closed_at"))

    @extend_schema(
        operation_id="disputes",
        summary="Disputes",
        description="Your disputes of debits, newest first, each with its messages; the file has none of these.",
        tags=["disputes"],
        parameters=[STATE, FORMAT],
        responses=listed(DisputeSerializer, "disputes"),
    )
    def list(self, request: Request) -> Response | StreamingHttpResponse:
        state = STATE.read(request)
        disputes = _disputes_of(request).newest_first()
        return self.file_or_page_of(disputes if state is None else disputes.filter(state=state))

    @extend_schema(
        operation_id="open_dispute",
        summary="Dispute a debit",
        description="Within 90 days of the entry, once at a time for each (409 `dispute_exists`), and at most 20 open "
        "at once (409 `dispute_limit_reached`). Staff answer, resolve it with credits, or reject it; you are notified "
        "of each step.",
        tags=["disputes"],
        parameters=[OWN_KEY, replayed_header(201)],
        request=NewDisputeSerializer,
        responses={201: DisputeSerializer, **_REFUSED},
    )
    def create(self, request: Request) -> Response:
        asked = validated(NewDisputeSerializer, request.data)
        opened = open_dispute(
            user_id=caller_id(request),
            entry_id=asked["entry_id"],
            reason=EntryDisputeReason(asked["reason"]),
            message=asked["message"],
            idempotency_key=_own_key(request),
            now=timezone.now(),
        )
        return _answer(opened.dispute, status.HTTP_201_CREATED, is_replay=opened.is_replay)

    @extend_schema(
        operation_id="dispute",
        summary="One dispute",
        description="As it is now, with its messages.",
        tags=["disputes"],
        parameters=[id_parameter("The dispute's id.")],
        responses={200: DisputeSerializer, 404: ErrorSerializer, **REFUSALS},
    )
    def retrieve(self, request: Request, id: str) -> Response:
        dispute = _disputes_of(request).filter(pk=path_number(id)).first()
        if dispute is None:
            raise DisputeNotFound
        return Response(DisputeSerializer(dispute).data)

    @extend_schema(
        operation_id="write_dispute_message",
        summary="Write to a dispute",
        description="Adds a message; a dispute that was answered is open again. At most 100 messages.",
        tags=["disputes"],
        parameters=[id_parameter("The dispute's id."), OWN_KEY, replayed_header(201)],
        request=NewMessageSerializer,
        responses={201: DisputeSerializer, **_REFUSED},
    )
    def write(self, request: Request, id: str) -> Response:
        asked = validated(NewMessageSerializer, request.data)
        dispute, is_replay = write_message(
            user_id=caller_id(request),
            dispute_id=path_number(id),
            text=asked["message"],
            idempotency_key=_own_key(request),
            now=timezone.now(),
        )
        return _answer(dispute, status.HTTP_201_CREATED, is_replay=is_replay)

    @extend_schema(
        operation_id="withdraw_dispute",
        summary="Withdraw a dispute",
        description="Repeating it changes nothing. While credits for it wait for a second person of the staff it "
        "cannot be withdrawn (409 `dispute_awaits_approval`).",
        tags=["disputes"],
        parameters=[id_parameter("The dispute's id.")],
        request=None,
        responses={200: DisputeSerializer, 404: ErrorSerializer, 409: ErrorSerializer, **REFUSALS},
    )
    def withdraw(self, request: Request, id: str) -> Response:
        dispute = withdraw_dispute(user_id=caller_id(request), dispute_id=path_number(id), now=timezone.now())
        return _answer(dispute, status.HTTP_200_OK, is_replay=False)


def _disputes_of(request: Request) -> Any:
    messages = Prefetch("messages", DisputeMessage.objects.order_by("pk"))
    return EntryDispute.objects.of(caller_id(request)).defer("fingerprint").prefetch_related(messages)


def _own_key(request: Request) -> str | None:
    return sent_idempotency_key(request.META) if request.META.get("HTTP_IDEMPOTENCY_KEY") else None


def _answer(dispute: EntryDispute, code: int, *, is_replay: bool) -> Response:
    messages = DisputeMessage.objects.order_by("pk")
    shown = EntryDispute.objects.prefetch_related(Prefetch("messages", messages)).get(pk=dispute.pk)
    return Response(DisputeSerializer(shown).data, status=code, headers={REPLAYED: "true"} if is_replay else {})
