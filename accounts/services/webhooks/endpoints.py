"""Webhook endpoints as customers manage them: made, changed, given a new secret, tried out, deleted.

A customer's endpoints change one after another: whatever could make more of them holds the customer's row first.
"""

from __future__ import annotations

import base64
import datetime as dt
import secrets
from collections.abc import Collection, Mapping
from typing import Any

from django.conf import settings
from django.db import transaction

from accounts.emails import HIDES_SOMETHING, hides_something
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
# Of one customer, whatever endpoints are made and deleted: or we would be a means to flood somebody else.
MOST_TESTS = ((10, dt.timedelta(minutes=1)), (200, dt.timedelta(days=1)))
MADE_A_DAY = 5  # times as many as a customer may have at once
_SECRET_BYTES = 32  # the standard asks for 24 to 64


@transaction.atomic
def create_endpoint(
    *, user_id: int, url: str, description: str, event_types: Collection[str], now: dt.datetime
) -> WebhookEndpoint:
    """Make an endpoint for a customer; its `secret` is to be shown now and never again. No types means all of them.

    :raises WebhookRefused: naming what no endpoint may be
    :raises TooManyWebhooks: if the customer has as many as anybody may have
    :raises WebhooksMadeTooOften: if the customer has made too many within a day, whatever became of them
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
    """Change an endpoint's `url`, `description`, `event_types` or `is_active`; what is not named stays.

    What waits for it goes to the new address. While it is off it is told nothing, and what falls due is given up.

    :raises WebhookNotFound: if the customer has no such endpoint
    :raises WebhookRefused: naming what no endpoint may be
    """
    endpoint = _lock_endpoint(user_id, endpoint_id)
    if "url" in changes:
        refuse_url(changes["url"])
        if changes["url"] != endpoint.url:  # whatever failed at the old one
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
    """Give an endpoint a new secret, to be shown now and never again; for a day the old one signs as well.

    Whoever fears that the old one is known rotates twice: of two old ones the older is forgotten at once.

    :raises WebhookNotFound: if the customer has no such endpoint
    """
    endpoint = _lock_endpoint(user_id, endpoint_id)
    endpoint.old_secret, endpoint.old_secret_until = endpoint.secret, now + OLD_SECRET_SIGNS_FOR
    endpoint.secret = new_secret()
    endpoint.save(update_fields=["secret", "old_secret", "old_secret_until"])
    return endpoint


@transaction.atomic
def delete_endpoint(*, user_id: int, endpoint_id: int, now: dt.datetime) -> None:
    """Take an endpoint out of use for good; nothing more is delivered to it.

    :raises WebhookNotFound: if the customer has no such endpoint
    """
    endpoint = _lock_endpoint(user_id, endpoint_id)
    if endpoint.is_active:
        _switch(endpoint, is_active=False, now=now)
    endpoint.deleted_at = now
    endpoint.save()


@transaction.atomic
def send_test(*, user_id: int, endpoint_id: int, now: dt.datetime) -> int:
    """Queue a notice of the type `webhook.test` for one endpoint, whatever its types; answers the delivery's id.

    :raises WebhookNotFound: if the customer has no such endpoint
    :raises WebhookDisabled: if it is off
    :raises TooManyWebhookTests: if the customer tried endpoints out too often within a minute or a day
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
    """Make a secret in the form that Standard Webhooks gives it."""
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
    if hides_something(description.strip()):
        raise WebhookRefused("description", f"A description {HIDES_SOMETHING}")
    return description.strip()


def _checked_types(event_types: Collection[str]) -> list[str]:
    unknown = sorted(set(event_types) - set(NOTICE_TYPES))
    if unknown:
        raise WebhookRefused("event_types", f"Choose among: {', '.join(NOTICE_TYPES)}.")
    return sorted(set(event_types))


def _lock_customer(user_id: int) -> None:
    # Not FOR UPDATE: rows that refer to the customer may still be inserted meanwhile.
    if User.objects.select_for_update(no_key=True).filter(pk=user_id, is_active=True).first() is None:
        raise TokenInvalid


def _lock_endpoint(user_id: int, endpoint_id: int) -> WebhookEndpoint:
    endpoint = WebhookEndpoint.objects.of(user_id).select_for_update(no_key=True).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise WebhookNotFound
    return endpoint
