"""Messages of payment providers."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from config.http.parsers import parse_strictly
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer
from ledger.authentication import StripeSignature
from ledger.errors import WebhookNotUnderstood
from ledger.services.payments.stripe_events import take_stripe_event


class StripeWebhookViewSet(ViewSet):
    """What Stripe tells unasked."""

    authentication_classes = (StripeSignature,)
    permission_classes: Any = ()  # the signature is the permission

    @extend_schema(
        operation_id="stripe_webhook",
        summary="Webhook of Stripe",
        description="Signed over the raw body, at most five minutes ago. A type that means nothing here is answered "
        "with 200; what could not be recorded never is, so that Stripe sends it again.",
        tags=["webhooks"],
        request=OpenApiTypes.OBJECT,
        responses={
            200: inline_serializer(
                "WebhookTaken", {"received": serializers.BooleanField(), "applied": serializers.BooleanField()}
            ),
            400: FieldErrorsSerializer,
            409: ErrorSerializer,
            503: ErrorSerializer,
            **REFUSALS,
        },
    )
    def create(self, request: Request) -> Response:
        event = parse_strictly(request._request.body)
        if not isinstance(event, dict):
            raise WebhookNotUnderstood("A message is a JSON object.")
        return Response({"received": True, "applied": take_stripe_event(event, now=timezone.now())})
