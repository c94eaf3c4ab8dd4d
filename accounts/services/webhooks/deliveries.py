"""Deliveries: claimed before an attempt and updated afterwards; no network calls."""

from __future__ import annotations

import datetime as dt
import math
import uuid
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db import connection, transaction
from django.db.models import TextField
from django.db.models.functions import Cast

from accounts.errors import TooManyResends, WebhookDisabled, WebhookNotFound
from accounts.models import (
    DeliveryState,
    DisabledReason,
    Notice,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from accounts.providers.webhook_post import Answer
from accounts.services.account_notices import notify_webhook_disabled
from accounts.services.webhooks.schedule import next_attempt, requested_wait
from config.rounds import Round
from config.values.timestamps import instant_text

# Longer than any attempt takes, including the look-up of the host: a claim that is older belongs to a dead sender.
LEASE = dt.timedelta(minutes=2)
FAILING_ENDPOINTS_GO_OFF_AFTER = dt.timedelta(days=5)
KEPT_FOR = dt.timedelta(days=30)
MOST_RESENDS, RESENDS_WINDOW = 60, dt.timedelta(minutes=1)  # of one customer
RESENDS_PAUSE = dt.timedelta(seconds=10)  # between those of one delivery
_GONE = 410
_PURGED_AT_ONCE = 1_000

# One delivery of each endpoint at a time: a customer with a thousand due deliveries does not delay others. Only the
# longest due are considered; endpoints that fill that window are busy in the next claim. Claimed rows are locked; of
# two senders that choose the same rows one gets fewer, and claims again.
_LOOKED_AT = 1_000
_CLAIM = """
    WITH longest_due AS MATERIALIZED (
        SELECT id, endpoint_id, next_attempt_at FROM accounts_webhookdelivery
        WHERE state = 'pending' AND next_attempt_at <= %(now)s AND NOT endpoint_id = ANY(%(busy)s::bigint[])
            AND (%(only)s::bigint IS NULL OR endpoint_id = %(only)s)
        ORDER BY next_attempt_at, endpoint_id LIMIT %(looked_at)s
    ), first_of_each AS MATERIALIZED (
        SELECT DISTINCT ON (endpoint_id) id, endpoint_id, next_attempt_at
        FROM longest_due ORDER BY endpoint_id, next_attempt_at
    ), chosen AS MATERIALIZED (
        SELECT f.id FROM first_of_each f
        WHERE EXISTS (
            SELECT FROM accounts_webhookendpoint e JOIN accounts_user u ON u.id = e.user_id
            WHERE e.id = f.endpoint_id AND e.is_active AND u.is_active)
        ORDER BY f.next_attempt_at LIMIT %(most)s
    ), taken AS MATERIALIZED (
        SELECT id FROM accounts_webhookdelivery
        WHERE id = ANY(ARRAY(SELECT id FROM chosen)) AND state = 'pending' AND next_attempt_at <= %(now)s
        FOR UPDATE SKIP LOCKED
    )
    UPDATE accounts_webhookdelivery d SET claim = %(claim)s, next_attempt_at = %(now)s + %(lease)s
    WHERE id = ANY(ARRAY(SELECT id FROM taken))
    RETURNING id
"""
_ENDPOINTS_DUE = """
    SELECT endpoint_id FROM (
        SELECT endpoint_id, next_attempt_at FROM accounts_webhookdelivery
        WHERE state = 'pending' AND next_attempt_at <= %(now)s AND NOT endpoint_id = ANY(%(busy)s::bigint[])
        ORDER BY next_attempt_at, endpoint_id LIMIT %(looked_at)s
    ) longest_due
    GROUP BY endpoint_id ORDER BY min(next_attempt_at)
"""
# Arrays rather than joins: the plan does not depend on the statistics of a new table.
_DUE_WHERE_OFF = """
    SELECT endpoint_id, array_agg(id) FROM accounts_webhookdelivery
    WHERE state = 'pending' AND next_attempt_at <= %(now)s AND endpoint_id = ANY(ARRAY(
        SELECT e.id FROM accounts_webhookendpoint e JOIN accounts_user u ON u.id = e.user_id
        WHERE NOT (e.is_active AND u.is_active)))
    GROUP BY endpoint_id
"""
_GIVE_UP = """
    UPDATE accounts_webhookdelivery SET state = 'failed', next_attempt_at = NULL, claim = NULL,
        last_error = 'The endpoint is off.'
    WHERE id = ANY(ARRAY(
        SELECT id FROM accounts_webhookdelivery
        WHERE id = ANY(%(ids)s) AND state = 'pending' AND next_attempt_at <= %(now)s FOR UPDATE SKIP LOCKED))
"""


@dataclass(frozen=True)
class PreparedDelivery:
    """Everything that an attempt needs, so that it can run without the database."""

    delivery_id: int
    endpoint_id: int
    claim: uuid.UUID
    url: str
    secrets: tuple[str, ...]  # the newest first
    message_id: str
    body: bytes


def claim_deliveries(
    *, now: dt.datetime, most: int, busy: Collection[int] = (), only: int | None = None
) -> list[PreparedDelivery]:
    """Claim at most `most` due deliveries, at most one of each endpoint and none of the busy ones.

    With `only`, of that endpoint alone. No other sender claims them within LEASE; after that they are due again, even
    if the sender died.
    """
    claim = uuid.uuid4()
    asked = {"busy": list(busy), "only": only, "most": most, "looked_at": _LOOKED_AT}
    values: dict[str, Any] = {"claim": claim, "now": now, "lease": LEASE, **asked}
    with transaction.atomic(durable=True), connection.cursor() as cursor:
        cursor.execute(_CLAIM, values)
        claimed = [delivery_id for (delivery_id,) in cursor.fetchall()]
    if not claimed:
        return []
    deliveries = (
        WebhookDelivery.objects.filter(pk__in=claimed)
        .select_related("endpoint", "notice")
        .annotate(data_text=Cast("notice__data", TextField()))
    )
    return [_prepared(delivery, claim, now) for delivery in deliveries]


@transaction.atomic
def note_attempt(
    *, prepared: PreparedDelivery, answer: Answer, at: dt.datetime, now: dt.datetime, jitter: float
) -> DeliveryState:
    """Record the outcome of an attempt and when the next is due; return the delivery's state.

    Turns the endpoint off when it returned 410, or nothing was delivered for five days, and notifies the customer.
    """
    endpoint = WebhookEndpoint.objects.select_for_update(no_key=True).get(pk=prepared.endpoint_id)
    delivery = WebhookDelivery.objects.select_for_update(no_key=True).get(pk=prepared.delivery_id)
    WebhookAttempt.objects.create(
        user_id=delivery.user_id,
        delivery=delivery,
        at=at,
        url=prepared.url,
        status=answer.status,
        error=answer.error,
        milliseconds=answer.milliseconds,
        answer=answer.start,
    )
    delivery.attempts += 1
    delivery.last_status, delivery.last_error = answer.status, answer.error
    if answer.is_success:
        _note_success(delivery, endpoint, now)
    else:
        is_gone = answer.status == _GONE and prepared.url == endpoint.url
        if is_gone:
            _turn_off(endpoint, DisabledReason.GONE, now)
        if delivery.claim == prepared.claim:  # else another sender has claimed it since, and plans the next attempt
            _plan_next(delivery, answer, is_gone=is_gone, now=now, jitter=jitter)
        _note_trouble(endpoint, delivery, now)
    delivery.save()
    return DeliveryState(delivery.state)


def endpoints_due(*, now: dt.datetime, busy: Collection[int] = ()) -> list[int]:
    """Return the ids of endpoints with due deliveries, longest due first, without the busy ones."""
    with connection.cursor() as cursor:
        cursor.execute(_ENDPOINTS_DUE, {"now": now, "busy": list(busy), "looked_at": _LOOKED_AT})
        return [endpoint_id for (endpoint_id,) in cursor.fetchall()]


def fail_deliveries_of_disabled(endpoints: Round, *, now: dt.datetime) -> int:
    """Fail the due deliveries of endpoints that are off and of deactivated people; return how many.

    Each endpoint has its own turn.
    """
    with connection.cursor() as cursor:
        cursor.execute(_DUE_WHERE_OFF, {"now": now})
        due = cursor.fetchall()
    given_up = 0
    for endpoint_id, delivery_ids in due:
        with endpoints.turn(endpoint_id), connection.cursor() as cursor:
            cursor.execute(_GIVE_UP, {"ids": delivery_ids, "now": now})
            given_up += cursor.rowcount
    return given_up


@transaction.atomic
def resend_delivery(*, delivery_id: int, now: dt.datetime, endpoint_id: int, user_id: int | None = None) -> None:
    """Make a delivery due now, with the whole schedule of attempts; one that is being tried stays as it is.

    It is sent under the same id, so that receivers can recognise it.

    With `user_id` the customer asks: limited to a number of deliveries a minute, each at most every 10 s.

    :raises WebhookNotFound: if there is none, or it does not belong to `user_id`, where that is given
    :raises WebhookDisabled: if its endpoint is off
    :raises TooManyResends: if the customer has reached the limit of a minute
    """
    endpoints = WebhookEndpoint.objects.filter(pk=endpoint_id, deleted_at=None).select_for_update(no_key=True)
    endpoint = (endpoints if user_id is None else endpoints.of(user_id)).first()
    if endpoint is None:
        raise WebhookNotFound
    deliveries = WebhookDelivery.objects.filter(endpoint=endpoint, pk=delivery_id)
    delivery = deliveries.select_for_update(no_key=True).first()
    if delivery is None:
        raise WebhookNotFound
    if not endpoint.is_active:
        raise WebhookDisabled
    due_at = now
    if user_id is not None:
        _refuse_many_resends(user_id, now)
        due_at = now if delivery.resent_at is None else max(now, delivery.resent_at + RESENDS_PAUSE)
        delivery.resent_at = due_at
    is_being_tried = delivery.claim is not None and delivery.next_attempt_at is not None
    if is_being_tried and delivery.next_attempt_at > now:  # type: ignore[operator]
        return
    delivery.state, delivery.claim, delivery.failures = DeliveryState.PENDING, None, 0
    delivery.due_since = delivery.next_attempt_at = due_at
    delivery.save()


def _refuse_many_resends(user_id: int, now: dt.datetime) -> None:
    """Keep a customer from flooding a third party's server through this one; tests are limited likewise.

    Resends of one endpoint wait for each other; concurrent ones of several endpoints may exceed the limit together.
    """
    resent = WebhookDelivery.objects.filter(user_id=user_id, resent_at__gt=now - RESENDS_WINDOW)
    times = resent.order_by("-resent_at").values_list("resent_at", flat=True)
    for oldest in filter(None, times[MOST_RESENDS - 1 : MOST_RESENDS]):
        raise TooManyResends(retry_after_seconds=math.ceil((oldest + RESENDS_WINDOW - now).total_seconds()))


def remove_old_deliveries(*, now: dt.datetime) -> int:
    """Delete deliveries older than 30 days with their attempts, and rows that were kept only for them.

    Those are deleted endpoints and notices of tests; other notices stay, since a notice is sent once. Returns how many
    deliveries were deleted.
    """
    removed = 0
    told: set[int] = set()
    while True:
        old = WebhookDelivery.objects.filter(created_at__lt=now - KEPT_FOR, due_since__lt=now - KEPT_FOR)
        batch = dict(old.order_by("created_at").values_list("pk", "notice_id")[:_PURGED_AT_ONCE])
        if not batch:
            break
        WebhookDelivery.objects.filter(pk__in=batch).delete()
        told |= set(batch.values())
        removed += len(batch)
    if removed:  # deleted with the last delivery that needs it
        WebhookEndpoint.objects.filter(deleted_at__lt=now - KEPT_FOR, deliveries=None).delete()
        Notice.objects.filter(pk__in=told, type="webhook.test", deliveries=None).delete()
    return removed


def _prepared(delivery: WebhookDelivery, claim: uuid.UUID, now: dt.datetime) -> PreparedDelivery:
    endpoint, notice = delivery.endpoint, delivery.notice
    secrets = [endpoint.secret]
    if endpoint.old_secret is not None and endpoint.old_secret_until is not None and endpoint.old_secret_until > now:
        secrets.append(endpoint.old_secret)
    return PreparedDelivery(
        delivery_id=delivery.pk,
        endpoint_id=endpoint.pk,
        claim=claim,
        url=endpoint.url,
        secrets=tuple(secrets),
        message_id=message_name(notice.message_id),
        body=message_text(delivery).encode(),
    )


def message_text(delivery: WebhookDelivery) -> str:
    """Return the message as it is sent; its data is `data_text`, with every digit as stored."""
    data: str = delivery.data_text  # type: ignore[attr-defined]  # annotated by the query
    notice = delivery.notice
    return f'{{"type":"{notice.type}","timestamp":"{instant_text(notice.created_at)}","data":{data}}}'


def message_name(message_id: uuid.UUID) -> str:
    """Return a notice's id as webhooks carry it."""
    return f"msg_{message_id.hex}"


def _note_success(delivery: WebhookDelivery, endpoint: WebhookEndpoint, now: dt.datetime) -> None:
    delivery.state, delivery.delivered_at = DeliveryState.DELIVERED, now
    delivery.next_attempt_at = delivery.claim = None
    if endpoint.failing_since is not None:
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(failing_since=None)


def _plan_next(delivery: WebhookDelivery, answer: Answer, *, is_gone: bool, now: dt.datetime, jitter: float) -> None:
    delivery.failures += 1
    delivery.claim = None
    wait = requested_wait(status=answer.status, retry_after=answer.retry_after, now=now)
    planned = next_attempt(failures=delivery.failures, due_since=delivery.due_since, now=now, jitter=jitter, wait=wait)
    delivery.next_attempt_at = None if is_gone else planned
    if delivery.next_attempt_at is None:
        delivery.state = DeliveryState.FAILED


def _note_trouble(endpoint: WebhookEndpoint, delivery: WebhookDelivery, now: dt.datetime) -> None:
    """Record since when nothing was delivered; a delivery that fails permanently after five such days turns it off."""
    if endpoint.failing_since is None:
        WebhookEndpoint.objects.filter(pk=endpoint.pk).update(failing_since=now)
    elif delivery.state == DeliveryState.FAILED and now - endpoint.failing_since >= FAILING_ENDPOINTS_GO_OFF_AFTER:
        _turn_off(endpoint, DisabledReason.FAILING, now)


def _turn_off(endpoint: WebhookEndpoint, reason: DisabledReason, now: dt.datetime) -> None:
    if not endpoint.is_active:
        return
    endpoint.is_active, endpoint.disabled_at, endpoint.disabled_reason = False, now, reason
    endpoint.save(update_fields=["is_active", "disabled_at", "disabled_reason"])
    notify_webhook_disabled(endpoint, reason, now=now)
