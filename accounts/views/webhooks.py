"""The customer's own webhook endpoints and their deliveries."""

from __future__ import annotations

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller_id
from accounts.models import DeliveryState, WebhookDelivery, WebhookEndpoint
from accounts.selectors import deliveries_of, delivery_of, webhook_of, webhooks_of
from accounts.serializers.webhooks import (
    DeliverySerializer,
    DeliveryWithLogSerializer,
    NewWebhookSerializer,
    TestSentSerializer,
    WebhookChangesSerializer,
    WebhookSerializer,
    WebhookWithSecretSerializer,
)
from accounts.services.webhooks.deliveries import resend_delivery
from accounts.services.webhooks.endpoints import (
    change_endpoint,
    create_endpoint,
    delete_endpoint,
    rotate_secret,
    send_test,
)
from config.http.bodies import validated
from config.http.csv_lists import FORMAT, ListViewSet, Sheet, listed
from config.http.documented import ChoiceParameter, id_parameter
from config.http.parameters import path_number
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer

CSV_COLUMNS = (
    "id", "message_id", "type", "state", "attempts", "last_status", "last_error", "next_attempt_at", "created_at",
    "delivered_at",
)  # fmt: skip
ENDPOINT_ID = id_parameter("The endpoint's id.")
DELIVERY_ID = id_parameter("The delivery's id.", name="delivery_id")
STATUS = ChoiceParameter("status", DeliveryState.values, "Only deliveries of this state.")


class WebhookViewSet(ListViewSet[WebhookEndpoint]):
    """Webhook endpoints, which receive the customer's notices besides email."""

    serializer_class = WebhookSerializer
    queryset = WebhookEndpoint.objects.none()  # every action narrows to the customer's own

    @extend_schema(
        operation_id="webhooks",
        summary="Webhook endpoints",
        description="The customer's endpoints, newest first.",
        tags=["webhooks"],
        responses={200: WebhookSerializer(many=True), 400: FieldErrorsSerializer, **REFUSALS},
    )
    def list(self, request: Request) -> Response:
        return self.page_of(webhooks_of(user_id=caller_id(request)))

    @extend_schema(
        operation_id="create_webhook",
        summary="Create a webhook endpoint",
        description="The answer has the secret that signs each message, this once. Messages follow Standard Webhooks.",
        tags=["webhooks"],
        request=NewWebhookSerializer,
        responses={201: WebhookWithSecretSerializer, 400: FieldErrorsSerializer, 409: ErrorSerializer, **REFUSALS},
    )
    def create(self, request: Request) -> Response:
        asked = validated(NewWebhookSerializer, request.data)
        endpoint = create_endpoint(user_id=caller_id(request), now=timezone.now(), **asked)
        return Response(WebhookWithSecretSerializer(endpoint).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="webhook",
        summary="One webhook endpoint",
        tags=["webhooks"],
        parameters=[ENDPOINT_ID],
        responses={200: WebhookSerializer, 404: ErrorSerializer, **REFUSALS},
    )
    def retrieve(self, request: Request, id: str) -> Response:
        return _shown(request, path_number(id))

    @extend_schema(
        operation_id="change_webhook",
        summary="Change a webhook endpoint",
        description="What is not named stays. What waits to be delivered goes to the new address.",
        tags=["webhooks"],
        parameters=[ENDPOINT_ID],
        request=WebhookChangesSerializer,
        responses={200: WebhookSerializer, 400: FieldErrorsSerializer, 404: ErrorSerializer, **REFUSALS},
    )
    def partial_update(self, request: Request, id: str) -> Response:
        asked = validated(WebhookChangesSerializer, request.data)
        endpoint_id, changes = path_number(id), asked
        change_endpoint(user_id=caller_id(request), endpoint_id=endpoint_id, changes=changes, now=timezone.now())
        return _shown(request, endpoint_id)

    @extend_schema(
        operation_id="delete_webhook",
        summary="Delete a webhook endpoint",
        description="At once and for good.",
        tags=["webhooks"],
        parameters=[ENDPOINT_ID],
        responses={204: None, 404: ErrorSerializer, **REFUSALS},
    )
    def destroy(self, request: Request, id: str) -> Response:
        delete_endpoint(user_id=caller_id(request), endpoint_id=path_number(id), now=timezone.now())
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(
        operation_id="rotate_webhook_secret",
        summary="Rotate the secret of a webhook endpoint",
        description="The answer has the new secret, this once. For 24 hours messages are signed by both.",
        tags=["webhooks"],
        parameters=[ENDPOINT_ID],
        request=None,
        responses={200: WebhookWithSecretSerializer, 404: ErrorSerializer, **REFUSALS},
    )
    def rotate_secret(self, request: Request, id: str) -> Response:
        endpoint = rotate_secret(user_id=caller_id(request), endpoint_id=path_number(id), now=timezone.now())
        return Response(WebhookWithSecretSerializer(endpoint).data)

    @extend_schema(
        operation_id="test_webhook",
        summary="Test a webhook endpoint",
        description="Sends a message of the type `webhook.test`, whatever types the endpoint wants.",
        tags=["webhooks"],
        parameters=[ENDPOINT_ID],
        request=None,
        responses={202: TestSentSerializer, 404: ErrorSerializer, 409: ErrorSerializer, **REFUSALS},
    )
    def test(self, request: Request, id: str) -> Response:
        sent = send_test(user_id=caller_id(request), endpoint_id=path_number(id), now=timezone.now())
        return Response(TestSentSerializer({"delivery_id": sent}).data, status=status.HTTP_202_ACCEPTED)


class DeliveryViewSet(ListViewSet[WebhookDelivery]):
    """The delivery log of one endpoint, kept for 30 days."""

    serializer_class = DeliverySerializer
    queryset = WebhookDelivery.objects.none()  # every action narrows to the customer's own
    sheet = Sheet("deliveries.csv", CSV_COLUMNS, shown=lambda delivery: DeliverySerializer(delivery).data)

    @extend_schema(
        operation_id="webhook_deliveries",
        summary="Deliveries to a webhook endpoint",
        description="Newest first, of the last 30 days.",
        tags=["webhooks"],
        parameters=[
            ENDPOINT_ID,
            STATUS,
            FORMAT,
        ],
        responses={**listed(DeliverySerializer, "deliveries"), 404: ErrorSerializer},
    )
    def list(self, request: Request, id: str) -> Response | StreamingHttpResponse:
        deliveries = deliveries_of(user_id=caller_id(request), endpoint_id=path_number(id), state=STATUS.read(request))
        return self.file_or_page_of(deliveries)

    @extend_schema(
        operation_id="webhook_delivery",
        summary="One delivery, with all its attempts",
        tags=["webhooks"],
        parameters=[ENDPOINT_ID, DELIVERY_ID],
        responses={200: DeliveryWithLogSerializer, 404: ErrorSerializer, **REFUSALS},
    )
    def retrieve(self, request: Request, id: str, delivery_id: str) -> Response:
        asked = {"endpoint_id": path_number(id), "delivery_id": path_number(delivery_id)}
        return Response(DeliveryWithLogSerializer(delivery_of(user_id=caller_id(request), **asked)).data)

    @extend_schema(
        operation_id="resend_webhook_delivery",
        summary="Send a delivery again",
        description="Now, under the same `webhook-id`, and with all retries if it fails.",
        tags=["webhooks"],
        parameters=[ENDPOINT_ID, DELIVERY_ID],
        request=None,
        responses={202: DeliverySerializer, 404: ErrorSerializer, 409: ErrorSerializer, **REFUSALS},
    )
    def resend(self, request: Request, id: str, delivery_id: str) -> Response:
        asked = {"endpoint_id": path_number(id), "delivery_id": path_number(delivery_id)}
        resend_delivery(user_id=caller_id(request), now=timezone.now(), **asked)
        delivery = delivery_of(user_id=caller_id(request), **asked)
        return Response(DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


def _shown(request: Request, endpoint_id: int) -> Response:
    return Response(WebhookSerializer(webhook_of(user_id=caller_id(request), endpoint_id=endpoint_id)).data)
