"""The Account API's packages, top-ups and saved cards."""

from __future__ import annotations

from typing import Any, cast

from django.conf import settings
from django.http import StreamingHttpResponse
from django.shortcuts import get_object_or_404
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.exceptions import NotFound
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller_id
from accounts.models import User
from config.http.bodies import validated
from config.http.csv_lists import FORMAT, ListViewSet, Sheet, listed
from config.http.documented import IDEMPOTENCY_KEY, ChoiceParameter, id_parameter, replayed_header
from config.http.idempotency import REPLAYED, sent_idempotency_key
from config.http.parameters import path_number
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer
from ledger.errors import PaymentMethodNotFound
from ledger.models import Payment, PaymentMethod, PaymentState, TopUpPackage
from ledger.serializers.payments import (
    CARD_SAVING,
    CardSavingSerializer,
    PackageSerializer,
    PaymentMethodSerializer,
    TopUpRequestSerializer,
    TopUpSerializer,
)
from ledger.services.payments.cards import remove_card, start_saving_card
from ledger.services.payments.top_ups import Expected, start_top_up

STATE = ChoiceParameter("state", PaymentState.values, "Only top-ups in this state.")
CSV_COLUMNS = (
    "id", "created_at", "package", "credits", "price", "currency", "refunded", "state", "failure_code", "entry_id",
    "settled_at", "kind",
)  # fmt: skip


class PackagesViewSet(ListViewSet[TopUpPackage]):
    """The packages on sale."""

    serializer_class = PackageSerializer
    queryset = TopUpPackage.objects.filter(is_active=True).order_by("-id")

    @extend_schema(
        operation_id="top_up_packages",
        summary="Packages of credits",
        description="The packages on sale, the latest first.",
        tags=["top-ups"],
        responses={200: PackageSerializer(many=True), 400: FieldErrorsSerializer, **REFUSALS},
    )
    def list(self, request: Request) -> Response:  # noqa: ARG002
        return self.page_of(self.get_queryset())


class TopUpsViewSet(ListViewSet[Payment]):
    """The customer's purchases of credits."""

    serializer_class = TopUpSerializer
    queryset = Payment.objects.none()  # each call is limited to the customer's own
    sheet = Sheet("top-ups.csv", CSV_COLUMNS, shown=lambda payment: TopUpSerializer(payment).data)

    @extend_schema(
        operation_id="top_ups",
        summary="Top-ups",
        description="What the customer has bought, or tried to, newest first.",
        tags=["top-ups"],
        parameters=[
            STATE,
            FORMAT,
        ],
        responses=listed(TopUpSerializer, "top-ups"),
    )
    def list(self, request: Request) -> Response | StreamingHttpResponse:
        state = STATE.read(request)
        payments = _payments_of(request).newest_first()
        if state is not None:
            payments = payments.filter(state=state)
        return self.file_or_page_of(payments)

    @extend_schema(
        operation_id="create_top_up",
        summary="Buy credits",
        description="Charges a saved card, or else leads to the provider's page, where the card is saved too. A "
        "payment that was declined is a top-up all the same: its `state` says so, and `next_step` what to do. Send "
        "what the package was shown with (`expected_credits`, `expected_price`, `expected_currency`): if it has "
        "changed the answer is a 409 `package_changed` with its present terms, and nothing is charged. After too many "
        "declined or unpaid top-ups within an hour the answer is a 429.",
        tags=["top-ups"],
        parameters=[IDEMPOTENCY_KEY, replayed_header(201)],
        request=TopUpRequestSerializer,
        responses={
            201: TopUpSerializer,
            400: FieldErrorsSerializer,
            404: ErrorSerializer,
            409: ErrorSerializer,
            422: ErrorSerializer,
            503: ErrorSerializer,
            **REFUSALS,
        },
    )
    def create(self, request: Request) -> Response:
        idempotency_key = sent_idempotency_key(request.META)
        asked = validated(TopUpRequestSerializer, request.data)
        user = cast(User, request.user)
        started = start_top_up(
            user_id=user.pk,
            email=user.email,
            package_code=asked["package"],
            payment_method_id=asked["payment_method_id"],
            expected=Expected(**{name: asked.get(f"expected_{name}") for name in ("credits", "price", "currency")}),
            idempotency_key=idempotency_key,
            now=timezone.now(),
        )
        headers = {REPLAYED: "true"} if started.is_replay else {}
        return Response(TopUpSerializer(started.payment).data, status=status.HTTP_201_CREATED, headers=headers)

    @extend_schema(
        operation_id="top_up",
        summary="One top-up",
        description="As it is now.",
        tags=["top-ups"],
        parameters=[id_parameter("The top-up's id.")],
        responses={200: TopUpSerializer, 404: ErrorSerializer, **REFUSALS},
    )
    def retrieve(self, request: Request, id: str) -> Response:
        return Response(TopUpSerializer(get_object_or_404(_payments_of(request), pk=path_number(id))).data)


class PaymentMethodsViewSet(ListViewSet[PaymentMethod]):
    """Cards that the customer lets us charge."""

    serializer_class = PaymentMethodSerializer
    queryset = PaymentMethod.objects.none()  # each call is limited to the customer's own

    @extend_schema(
        operation_id="payment_methods",
        summary="Saved cards",
        description="Newest first; removed ones are not shown.",
        tags=["top-ups"],
        responses={200: PaymentMethodSerializer(many=True), 400: FieldErrorsSerializer, **REFUSALS},
    )
    def list(self, request: Request) -> Response:
        cards = PaymentMethod.objects.filter(user_id=caller_id(request), removed_at__isnull=True)
        return self.page_of(cards.order_by("-id"))

    @extend_schema(
        operation_id="save_payment_method",
        summary="Save a card",
        description="Begins to save a card without buying anything: go on with the provider's own script. The card is "
        "in the list as soon as the provider has confirmed it. After too many cards in a day the answer is a 429.",
        tags=["top-ups"],
        request=None,
        responses={201: CardSavingSerializer, 404: ErrorSerializer, 503: ErrorSerializer, **REFUSALS},
    )
    def create(self, request: Request) -> Response:
        user = cast(User, request.user)
        saving = start_saving_card(user_id=user.pk, email=user.email, now=timezone.now())
        answer = CARD_SAVING.of(saving, provider=settings.PAYMENT_PROVIDER)
        return Response(answer, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="remove_payment_method",
        summary="Remove a saved card",
        description="It can no longer be charged.",
        tags=["top-ups"],
        parameters=[id_parameter("The card's id.")],
        responses={204: None, 404: ErrorSerializer, **REFUSALS},
    )
    def destroy(self, request: Request, id: str) -> Response:
        try:
            remove_card(user_id=caller_id(request), payment_method_id=path_number(id), now=timezone.now())
        except PaymentMethodNotFound:
            raise NotFound from None
        return Response(status=status.HTTP_204_NO_CONTENT)


def _payments_of(request: Request) -> Any:
    return Payment.objects.of(caller_id(request)).select_related("package").defer("fingerprint")
