"""Webhook endpoints of customers, and notices for them, for tests."""

from __future__ import annotations

import datetime as dt
import itertools

from accounts.models import User, WebhookDelivery, WebhookEndpoint
from accounts.providers.webhook_post import Answer
from accounts.services.notices import notify_customer
from accounts.services.webhooks.deliveries import claim_deliveries, note_attempt
from accounts.services.webhooks.endpoints import create_endpoint

NOW = dt.datetime(2026, 11, 22, 5, tzinfo=dt.UTC)

_numbers = itertools.count()


def endpoint_of(user: User, url: str = "https://example.com/hooks", *types: str) -> WebhookEndpoint:
    return create_endpoint(user_id=user.pk, url=url, description="", event_types=types, now=NOW)


def tell(user: User, type: str = "balance.low", *, now: dt.datetime = NOW, **data: object) -> None:
    """Write a new notice to a customer, by webhook only."""
    key = str(next(_numbers))
    assert notify_customer(user_id=user.pk, type=type, key=key, data=data, subject=None, body=None, now=now)


def webhook_tried(user: User) -> WebhookDelivery:
    """Create an endpoint and a delivery to it that failed once."""
    endpoint = endpoint_of(user)
    tell(user)
    for prepared in claim_deliveries(now=NOW, most=100):
        note_attempt(prepared=prepared, answer=Answer(500, "Answered 500.", 7, "oh"), at=NOW, now=NOW, jitter=0)
    return deliveries(endpoint)[0]


def deliveries(endpoint: WebhookEndpoint) -> list[WebhookDelivery]:
    return list(WebhookDelivery.objects.filter(endpoint=endpoint).select_related("notice").order_by("id"))


def delivery_of(endpoint: WebhookEndpoint) -> WebhookDelivery:
    (delivery,) = deliveries(endpoint)
    return delivery
