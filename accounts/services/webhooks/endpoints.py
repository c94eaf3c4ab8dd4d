"""Webhook endpoints as customers manage them: create, change, rotate the secret, test, delete.

A customer's endpoints change one after another: every action that could add one locks the customer's row first.
"""

from __future__ import annotations

import base64
import datetime as dt
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.emails import HIDES_SOMETHING, has_hidden_characters
from accounts.errors import (
    TokenInvalid,
    TooManyWebhooks,
    TooManyWebhookTests,
    WebhookDisabled,
    WebhookNotFound,
    WebhookRefused,
    WebhooksMadeTooOften,
)
from accounts.models import NOTICE_TYPES, DisabledReason, Notice, User, WebhookEndpoint
from accounts.services.notices import notify_endpoint
from accounts.services.webhooks.urls import refuse_url
from config.db.waiting import seconds_to_wait
from config.values.text import INVALID_TEXT, is_invalid_text

OLD_SECRET_SIGNS_FOR = dt.timedelta(hours=24)
LONGEST_DESCRIPTION = 200
TEST = "webhook.test"
# Of one customer over all endpoints, deleted ones included: else this server could be used to flood another.
MOST_TESTS = ((10, dt.timedelta(minutes=1)), (200, dt.timedelta(days=1)))
MADE_A_DAY = 5  # times the number that a customer may have at once
_SECRET_BYTES = 32  # Standard Webhooks asks for 24 to 64


@transaction.atomic
def create_endpoint(
    *, user_id: int, url: str, description: str, event_types: Collection[str], now: dt.datetime
) -> WebhookEndpoint:
    """Create an endpoint for a customer; its `secret` is shown only now. No types means all types.

    :raises WebhookRefused: naming the invalid value
    :raises TooManyWebhooks: if the customer has reached the limit of endpoints
    :raises WebhooksMadeTooOften: if the customer has created too many within a day, deleted ones included
    :raises TokenInvalid: if the customer was deactivated meanwhile
    """
    _lock_customer(user_id)
    refuse_url(url)
    limit: int = settings.WEBHOOKS_PER_CUSTOMER
    made = WebhookEndpoint.objects.filter(user_id=user_id, created_at__gt=now - dt.timedelta(days=1))
    wait = seconds_to_wait(made, MADE_A_DAY * limit, dt.timedelta(days=1), now)
    if wait > 0:
        raise WebhooksMadeTooOften(retry_after_seconds=wait)
    if WebhookEndpoint.objects.of(user_id).count() >= limit:
        raise TooManyWebhooks(limit=limit)
    return WebhookEndpoint.objects.create(
        user_id=user_id,
        url=url,
        description=_checked_description(description),
        event_types=_checked_types(event_types),
        secret=new_secret(),
        created_at=now,
    )


@transaction.atomic
def change_endpoint(*, user_id: int, endpoint_id: int, changes: Mapping[str, Any], now: dt.datetime) -> None:
    """Change an endpoint's `url`, `description`, `event_types` or `is_active`; fields that are not named stay.

    Pending deliveries go to the new URL. While it is off, nothing is queued for it, and due deliveries fail.

    :raises WebhookNotFound: if the customer has no such endpoint
    :raises WebhookRefused: naming the invalid value
    """
    endpoint = _lock_endpoint(user_id, endpoint_id)
    if "url" in changes:
        refuse_url(changes["url"])
        if changes["url"] != endpoint.url:  # failures of the old URL do not count
            endpoint.failing_since = None
        endpoint.url = changes["url"]
    if "description" in changes:
        endpoint.description = _checked_description(changes["description"])
    if "event_types" in changes:
        endpoint.event_types = _checked_types(changes["event_types"])
    if changes.get("is_active", endpoint.is_active) != endpoint.is_active:
        _switch(endpoint, is_active=changes["is_active"], now=now)
    endpoint.save()


@transaction.atomic
def rotate_secret(*, user_id: int, endpoint_id: int, now: dt.datetime) -> WebhookEndpoint:
    """Replace an endpoint's secret, which is shown only now; for a day the old one signs as well.

    If the old one has leaked, rotate twice: only the newest old secret keeps signing.

    :raises WebhookNotFound: if the customer has no such endpoint
    """
    endpoint = _lock_endpoint(user_id, endpoint_id)
    endpoint.old_secret, endpoint.old_secret_until = endpoint.secret, now + OLD_SECRET_SIGNS_FOR
    endpoint.secret = new_secret()
    endpoint.save(update_fields=["secret", "old_secret", "old_secret_until"])
    return endpoint


@transaction.atomic
def delete_endpoint(*, user_id: int, endpoint_id: int, now: dt.datetime) -> None:
    """Delete an endpoint; nothing more is delivered to it.

    :raises WebhookNotFound: if the customer has no such endpoint
    """
    endpoint = _lock_endpoint(user_id, endpoint_id)
    if endpoint.is_active:
        _switch(endpoint, is_active=False, now=now)
    endpoint.deleted_at = now
    endpoint.save()


@transaction.atomic
def send_test(*, user_id: int, endpoint_id: int, now: dt.datetime) -> int:
    """Queue a notice of the type `webhook.test` for one endpoint, whatever its types; return the delivery's id.

    :raises WebhookNotFound: if the customer has no such endpoint
    :raises WebhookDisabled: if it is off
    :raises TooManyWebhookTests: if the customer has tested endpoints too often within a minute or a day
    :raises TokenInvalid: if the customer was deactivated meanwhile
    """
    _lock_customer(user_id)
    endpoint = _lock_endpoint(user_id, endpoint_id)
    if not endpoint.is_active:
        raise WebhookDisabled
    tests = Notice.objects.of(user_id).filter(type=TEST)
    wait = max(seconds_to_wait(tests, most, window, now) for most, window in MOST_TESTS)
    if wait > 0:
        raise TooManyWebhookTests(retry_after_seconds=wait)
    return notify_endpoint(
        user_id=user_id,
        endpoint_id=endpoint_id,
        type=TEST,
        key=secrets.token_hex(16),
        data={"endpoint_id": endpoint_id, "message": "It works."},
        now=now,
    )


def new_secret() -> str:
    """Return a new secret in the format of Standard Webhooks."""
    return f"whsec_{base64.b64encode(secrets.token_bytes(_SECRET_BYTES)).decode()}"


def _switch(endpoint: WebhookEndpoint, *, is_active: bool, now: dt.datetime) -> None:
    endpoint.is_active, endpoint.failing_since = is_active, None
    endpoint.disabled_at = None if is_active else now
    endpoint.disabled_reason = None if is_active else DisabledReason.CUSTOMER


def _checked_description(description: str) -> str:
    if is_invalid_text(description):
        raise WebhookRefused("description", INVALID_TEXT)
    if len(description) > LONGEST_DESCRIPTION:
        raise WebhookRefused("description", f"At most {LONGEST_DESCRIPTION} characters.")
    if has_hidden_characters(description.strip()):
        raise WebhookRefused("description", f"A description {HIDES_SOMETHING}")
    return description.strip()


def _checked_types(event_types: Collection[str]) -> list[str]:
    unknown = sorted(set(event_types) - set(NOTICE_TYPES))
    if unknown:
        raise WebhookRefused("event_types", f"Choose among: {', '.join(NOTICE_TYPES)}.")
    return sorted(set(event_types))


def _lock_customer(user_id: int) -> None:
    # Not FOR UPDATE: rows that refer to the customer can still be inserted.
    if User.objects.select_for_update(no_key=True).filter(pk=user_id, is_active=True).first() is None:
        raise TokenInvalid


def _lock_endpoint(user_id: int, endpoint_id: int) -> WebhookEndpoint:
    endpoint = WebhookEndpoint.objects.of(user_id).select_for_update(no_key=True).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise WebhookNotFound
    return endpoint
