"""Requests and responses of the webhook routes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import simplejson
from rest_framework import serializers

from accounts.models import (
    LONGEST_WEBHOOK_URL,
    NOTICE_TYPES,
    DeliveryState,
    DisabledReason,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from accounts.services.webhooks.deliveries import message_name, message_text
from accounts.services.webhooks.endpoints import LONGEST_DESCRIPTION
from config.http.fields import FlagField, InstantField

_TYPES = ", ".join(f"`{name}`" for name in NOTICE_TYPES)


class EventTypesField(serializers.ListField):
    """Names of notice types; the service validates them."""

    child = serializers.CharField(max_length=64)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=100, help_text=f"What it is told; empty: everything. Among: {_TYPES}.", **kwargs)


class NewWebhookSerializer(serializers.Serializer[WebhookEndpoint]):
    """An endpoint to create."""

    url = serializers.CharField(
        max_length=LONGEST_WEBHOOK_URL,
        help_text="Where notices are posted to: https, on the public internet. Redirects are not followed.",
    )
    description = serializers.CharField(
        max_length=LONGEST_DESCRIPTION, required=False, allow_blank=True, default="", help_text="What you call it."
    )
    event_types = EventTypesField(required=False, default=list)


class WebhookChangesSerializer(serializers.Serializer[WebhookEndpoint]):
    """Changes of an endpoint; fields that are not sent stay as they are."""

    url = serializers.CharField(required=False, max_length=LONGEST_WEBHOOK_URL, help_text="Where notices go.")
    description = serializers.CharField(
        required=False, max_length=LONGEST_DESCRIPTION, allow_blank=True, help_text="What you call it."
    )
    event_types = EventTypesField(required=False)
    is_active = FlagField(required=False, help_text="Whether it is told anything.")


class WebhookSerializer(serializers.Serializer[WebhookEndpoint]):
    """A customer's own endpoint; its secret is shown only when it is created."""

    id = serializers.IntegerField()
    url = serializers.CharField()
    description = serializers.CharField(help_text="May be empty.")
    event_types = serializers.ListField(child=serializers.CharField(), help_text="What it is told; empty: everything.")
    is_active = serializers.BooleanField(help_text="Whether it is told anything.")
    disabled_at = InstantField(allow_null=True)
    disabled_reason = serializers.ChoiceField(
        choices=DisabledReason.choices,
        allow_null=True,
        help_text="`customer`, `failing` (nothing could be delivered for five days) or `gone` (it answered 410).",
    )
    failing_since = InstantField(allow_null=True, help_text="Since when nothing could be delivered; null: all is well.")
    old_secret_until = InstantField(allow_null=True, help_text="Until when the secret before this one signs as well.")
    created_at = InstantField()


class WebhookWithSecretSerializer(WebhookSerializer):
    """An endpoint whose secret was just created."""

    secret = serializers.CharField(help_text="With which messages are signed (Standard Webhooks); shown this once.")


class DeliverySerializer(serializers.Serializer[WebhookDelivery]):
    """One notice for one endpoint."""

    id = serializers.IntegerField()
    message_id = serializers.SerializerMethodField(help_text="The header `webhook-id`, the same at every attempt.")
    type = serializers.CharField(source="notice.type")
    state = serializers.ChoiceField(choices=DeliveryState.choices)
    attempts = serializers.IntegerField(help_text="How often it was tried.")
    last_status = serializers.IntegerField(allow_null=True, help_text="HTTP status of the last answer, if one came.")
    last_error = serializers.CharField(allow_null=True, help_text="Why the last attempt failed.")
    next_attempt_at = InstantField(allow_null=True, help_text="When it is tried next, while it is pending.")
    created_at = InstantField()
    delivered_at = InstantField(allow_null=True)

    def get_message_id(self, delivery: WebhookDelivery) -> str:
        return message_name(delivery.notice.message_id)


class AttemptSerializer(serializers.Serializer[WebhookAttempt]):
    """One attempt at a delivery."""

    at = InstantField()
    url = serializers.CharField()
    status = serializers.IntegerField(allow_null=True, help_text="HTTP status of the answer; null: none came.")
    error = serializers.CharField(allow_null=True, help_text="Why it failed; null: it did not.")
    milliseconds = serializers.IntegerField()
    answer = serializers.CharField(help_text="The first kibibyte of the answer.")


class DeliveryWithLogSerializer(DeliverySerializer):
    """A delivery with all its attempts, newest first."""

    message = serializers.SerializerMethodField(help_text="The body that is sent: `type`, `timestamp` and `data`.")
    log = AttemptSerializer(many=True)

    def get_message(self, delivery: WebhookDelivery) -> dict[str, Any]:
        read: dict[str, Any] = simplejson.loads(message_text(delivery), parse_float=Decimal)
        return read


class TestSentSerializer(serializers.Serializer[Any]):
    """A test that was queued."""

    delivery_id = serializers.IntegerField(help_text="The delivery, to look up what came of it.")
