"""Read-only queries about people, their keys, subscriptions, notices and webhooks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from allauth.mfa.models import Authenticator
from django.db.models import Exists, OuterRef, Prefetch, Q, QuerySet, TextField
from django.db.models.functions import Cast

from accounts.errors import PlanNotFound, UserNotFound, WebhookNotFound
from accounts.models import (
    ApiKey,
    DeliveryState,
    Notice,
    Plan,
    Subscription,
    User,
    WebhookAttempt,
    WebhookDelivery,
    WebhookEndpoint,
)
from accounts.models.api_key import ApiKeyQuerySet
from accounts.models.plan import LIVE_STATUSES
from accounts.models.user import UserQuerySet
from config.db.statements import Place, Statement
from config.values.credits import LARGEST_ID


def user_named(email_or_id: str) -> User:
    """Return a person by email address, ignoring case, or by id in digits.

    :raises UserNotFound: if there is none
    """
    named = email_or_id.strip()
    if named.isascii() and named.isdigit():
        found = User.objects.filter(pk=int(named)).first() if len(named) < len(str(LARGEST_ID)) else None
    else:
        found = User.objects.with_email(named).first()
    if found is None:
        raise UserNotFound(named)
    return found


def staff_with_permission(permission: str) -> UserQuerySet:
    """Return the active staff with a permission such as `ledger.hear_of_disputes`, superusers included, in order."""
    app, _, codename = permission.partition(".")
    granted = {"content_type__app_label": app, "codename": codename}
    of_groups = Q(**{f"groups__permissions__{name}": value for name, value in granted.items()})
    of_their_own = Q(**{f"user_permissions__{name}": value for name, value in granted.items()})
    staff = User.objects.get_queryset().filter(of_groups | of_their_own | Q(is_superuser=True))
    return staff.filter(is_active=True, is_staff=True).order_by("pk").distinct()


def live_subscription_of(*, user_id: int) -> Subscription | None:
    """Return a customer's live subscription, with its plan and the next one; None if there is none.

    The database allows at most one.
    """
    return (
        Subscription.objects.select_related("plan", "pending_plan")
        .filter(user_id=user_id, status__in=LIVE_STATUSES)
        .first()
    )


_SUBSCRIPTION = [field.attname for field in Subscription._meta.concrete_fields]
_PLAN = ["id", "code", "name"]


@lru_cache(maxsize=1)
def live_subscription_statement() -> Statement:
    """Build the statement of a customer's live subscription, for `subscription_of_row`; its place is `user_id`."""
    running = Subscription.objects.filter(user_id=Place("user_id"), status__in=LIVE_STATUSES)
    return Statement.of(running.values_list(*_SUBSCRIPTION, *(f"plan__{name}" for name in _PLAN)))


def subscription_of_row(row: Sequence[Any]) -> Subscription | None:
    """Build a subscription, with its plan's code and name, from a row of the statement; None if all are null.

    Its columns are the last of the row and are read by position, since two tables share their names.
    """
    subscribed, planned = row[-len(_SUBSCRIPTION + _PLAN) : -len(_PLAN)], row[-len(_PLAN) :]
    if subscribed[0] is None:
        return None
    subscription = Subscription.from_db("default", _SUBSCRIPTION, subscribed)
    subscription.plan = Plan.from_db("default", _PLAN, planned)
    return subscription


def plan_with_code(code: str) -> Plan:
    """Return a plan by its code.

    :raises PlanNotFound: if there is none
    """
    found = Plan.objects.filter(code=code).first()
    if found is None:
        raise PlanNotFound(code)
    return found


def keys_of(*, user_id: int, now: dt.datetime, status: str | None = None) -> ApiKeyQuerySet:
    """Return a customer's keys, newest first, each with its `status` as of `now` and the id it was `replaced_by`."""
    keys = ApiKey.objects.of(user_id).with_status(now).with_replacement().defer("key_hash").newest_first()
    return keys if status is None else keys.filter(Q(status=status))


def webhooks_of(*, user_id: int) -> QuerySet[WebhookEndpoint]:
    """Return a customer's webhook endpoints, newest first, without loading their secrets."""
    return WebhookEndpoint.objects.of(user_id).defer("secret", "old_secret").newest_first()


def webhook_of(*, user_id: int, endpoint_id: int) -> WebhookEndpoint:
    """Return one of a customer's webhook endpoints.

    :raises WebhookNotFound: if the customer has no such endpoint
    """
    endpoint = webhooks_of(user_id=user_id).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise WebhookNotFound
    return endpoint


def deliveries_of(*, user_id: int, endpoint_id: int, state: str | None = None) -> QuerySet[WebhookDelivery]:
    """Return the deliveries to one of a customer's endpoints, newest first.

    :raises WebhookNotFound: if the customer has no such endpoint
    """
    endpoint = webhook_of(user_id=user_id, endpoint_id=endpoint_id)
    deliveries = WebhookDelivery.objects.filter(endpoint=endpoint).select_related("notice").order_by("-id")
    return deliveries if state is None else deliveries.filter(state=state)


def delivery_of(*, user_id: int, endpoint_id: int, delivery_id: int) -> WebhookDelivery:
    """Return one delivery with its attempts, and the notice's data as `data_text`, with every digit as stored.

    :raises WebhookNotFound: if the customer has no such endpoint, or the endpoint no such delivery
    """
    log = Prefetch("log", WebhookAttempt.objects.order_by("-id"))
    deliveries = deliveries_of(user_id=user_id, endpoint_id=endpoint_id).prefetch_related(log)
    found = deliveries.annotate(data_text=Cast("notice__data", TextField())).filter(pk=delivery_id).first()
    if found is None:
        raise WebhookNotFound
    return found


def deliveries_given_up(*, since: dt.datetime) -> QuerySet[WebhookDelivery]:
    """Return the webhook deliveries of all customers that were created since `since` and failed permanently."""
    return WebhookDelivery.objects.filter(state=DeliveryState.FAILED, created_at__gte=since)


def emails_due(*, now: dt.datetime) -> QuerySet[Notice]:
    """Return the notices whose email is due, for the first time or again."""
    return Notice.objects.filter(email_due_at__lte=now)


def staff_without_second_factor() -> QuerySet[User]:
    """Return the active staff who have no authenticator app and no passkey; recovery codes alone are none."""
    factors = Authenticator.objects.filter(user=OuterRef("pk")).exclude(type=Authenticator.Type.RECOVERY_CODES)
    return User.objects.filter(~Exists(factors), is_staff=True, is_active=True)


def deliveries_due(*, now: dt.datetime) -> QuerySet[WebhookDelivery]:
    """Return the webhook deliveries of all customers whose next attempt is due."""
    return WebhookDelivery.objects.filter(state=DeliveryState.PENDING, next_attempt_at__lte=now)
