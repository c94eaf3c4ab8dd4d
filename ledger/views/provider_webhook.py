"""Webhooks of payment providers: one path for each provider that sends webhooks."""

from __future__ import annotations

from typing import Any

from django.utils import timezone
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema, extend_schema_view, inline_serializer
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from config.http.parsers import parse_strictly
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer
from ledger.authentication import ProviderSignature
from ledger.errors import WebhookNotUnderstood
from ledger.providers.registry import webhooks_of
from ledger.services.payments.provider_events import record_event


class ProviderWebhookViewSet(ViewSet):
    """The webhooks of one payment provider."""

    provider = ""  # its name in the registry
    permission_classes: Any = ()  # the signature is the permission

    def get_authenticators(self) -> list[Any]:
        return [ProviderSignature(self.provider)]

    def create(self, request: Request) -> Response:
        event = parse_strictly(request._request.body)
        if not isinstance(event, dict):
            raise WebhookNotUnderstood("A message is a JSON object.")
        is_applied = record_event(event, webhooks=webhooks_of(self.provider), now=timezone.now())
        return Response({"received": True, "applied": is_applied})


def webhook_view(provider: str) -> Any:
    """Return the view of a provider's webhooks, with its operation in the OpenAPI document."""
    title = provider.capitalize()
    documented = extend_schema(
        operation_id=f"{provider}_webhook",
        summary=f"Webhook of {title}",
        description=f"Signed over the raw body, at most {webhooks_of(provider).tolerance_seconds} seconds ago. A type "
        "that is of no interest returns 200; an event that could not be recorded never does, so that "
        f"{title} sends it again.",
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
    view = type(f"{title}WebhookViewSet", (ProviderWebhookViewSet,), {"provider": provider})
    return extend_schema_view(create=documented)(view).as_view({"post": "create"})
