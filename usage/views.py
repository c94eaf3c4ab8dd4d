"""The Account API's statistics, and the summaries that join credits, plan and usage."""

from __future__ import annotations

import datetime as dt
from decimal import ROUND_FLOOR
from typing import Any, cast

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.authentication import ApiKeyAuthentication
from accounts.models import Scope, User
from accounts.permissions import HasScope
from accounts.selectors import live_subscription_of
from accounts.serializers import ErrorSerializer, FieldErrorsSerializer
from config.db.snapshot import snapshot
from config.http.numbers import percentage
from config.http.parameters import choice, strict_parameters, time_range
from usage.selectors import Life, life_of, usage_of
from usage.serializers import (
    AccountSummarySerializer,
    KeySummarySerializer,
    UsageStats,
    UsageStatsSerializer,
)
from usage.windows import PERIODS, start_of_period

RESOLUTION = "X-Usage-Resolution"
REFUSALS: dict[Any, Any] = {401: ErrorSerializer, 429: ErrorSerializer}


def usage_stats(user_id: int, period: str, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> UsageStats:
    """Put a window's usage together with what was asked; a window that had to be widened is answered as such."""
    usage = usage_of(user_id=user_id, start=start, end=end, now=now)
    return UsageStats(user_id, period, usage, *(usage.widened_to or (start, end)))


class UsageViewSet(ViewSet):
    """How much the customer used."""

    @extend_schema(
        operation_id="usage",
        summary="Usage statistics",
        description="Requests and credits of those requests that occurred in the window. Where the requests "
        "themselves are no longer kept, an edge inside a day is moved outward to midnight (UTC): the answer then has "
        "the window that it is about, and the header X-Usage-Resolution.",
        tags=["account"],
        parameters=[
            OpenApiParameter(
                RESOLUTION,
                str,
                OpenApiParameter.HEADER,
                enum=["day"],
                response=[200],
                description="day: the window was widened to whole days.",
            ),
            OpenApiParameter("period", str, enum=PERIODS, default="monthly", description="Picks the default start."),
            OpenApiParameter("from", str, description="First moment, included. Default: start of the period."),
            OpenApiParameter("to", str, description="End, not included; a date is a whole day. Default: now."),
        ],
        responses={200: UsageStatsSerializer, 400: FieldErrorsSerializer, **REFUSALS},
    )
    def retrieve(self, request: Request) -> Response:
        now = timezone.now()
        given = strict_parameters(request, {"period", "from", "to"})
        period = choice(given, "period", PERIODS, default="monthly")
        asked = time_range(given)
        start = asked.start or start_of_period(period, now)
        end = asked.end or now
        if (asked.start or asked.end) and start >= end:
            raise ValidationError(
                {"from": ["'from' must be earlier than 'to', which is now unless given."]}
                if asked.start
                else {"to": ["'to' must be later than the start of the period; give 'from' as well."]}
            )
        stats = usage_stats(cast(User, request.user).pk, period, start, end, now)
        headers = {RESOLUTION: "day"} if stats.usage.widened_to else {}
        return Response(UsageStatsSerializer(stats).data, headers=headers)


class SummaryViewSet(ViewSet):
    """The whole account on one page."""

    @extend_schema(
        operation_id="summary",
        summary="Account summary",
        description="Credits, subscription and usage of the running month, all of one moment.",
        tags=["account"],
        responses={200: AccountSummarySerializer, **REFUSALS},
    )
    def retrieve(self, request: Request) -> Response:
        user = cast(User, request.user)
        now = timezone.now()
        with snapshot():
            life = life_of(user_id=user.pk)
            month = usage_stats(user.pk, "monthly", start_of_period("monthly", now), now, now)
            subscription = live_subscription_of(user_id=user.pk)
        summary = {
            "user_id": user.pk,
            "email": user.email,
            "credit_balance": life.credits,
            "subscription": subscription,
            "usage_this_month": month,
            "total_requests_all_time": life.total_requests,
            "account_created_at": user.created_at,
            "last_login_at": user.last_login,
        }
        return Response(AccountSummarySerializer(summary).data)


class KeySummaryViewSet(ViewSet):
    """The account as a program sees it; free, and not counted as usage."""

    authentication_classes = (ApiKeyAuthentication,)
    permission_classes: Any = (HasScope(Scope.ACCOUNT_READ),)

    @extend_schema(
        operation_id="key_summary",
        summary="Account summary by API key",
        description="Whole credits and all requests of the account's life. Free, and not counted as usage.",
        tags=["key"],
        responses={200: KeySummarySerializer, **REFUSALS, 403: ErrorSerializer},
    )
    def retrieve(self, request: Request) -> Response:
        user = cast(User, request.user)
        return Response(KeySummarySerializer(key_summary(user, life_of(user_id=user.pk))).data)


def key_summary(user: User, life: Life) -> dict[str, Any]:
    """Say it in whole credits: remaining is what can really be spent, and whatever is not remaining is used."""
    remaining = max(int(life.credits.available.to_integral_value(ROUND_FLOOR)), 0)
    total = max(int(life.credits.granted_total.to_integral_value(ROUND_FLOOR)), remaining)
    used = total - remaining
    return {
        "email": user.email,
        "full_name": user.full_name,
        "total_credits": total,
        "credits_used": used,
        "credits_remaining": remaining,
        "credits_percentage": percentage(used, total),
        "summary": {
            "total_requests": life.total_requests,
            "successful_requests": life.successful_requests,
            "failed_requests": life.failed_requests,
            "success_rate": percentage(life.successful_requests, life.total_requests),
        },
    }
