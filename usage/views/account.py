"""The Account API's statistics, and the summaries that join credits, plan and usage."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.http import StreamingHttpResponse
from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework.exceptions import ValidationError

from accounts import key_format
from accounts.authentication import ApiKeyAuthentication
from accounts.models import Scope, User
from accounts.permissions import HasScope
from config.http.csv_lists import FORMAT, Sheet, listed
from config.http.filters import filter_values
from config.http.lean import LeanAnswer, LeanListViewSet, LeanRequest, LeanViewSet
from config.http.pagination import LongListPagination
from config.http.parameters import choice, strict_parameters, time_range, wants_csv
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer
from ledger.services.grants import settle_grants
from ledger.services.subscriptions.renewals import is_due
from usage.filters import RequestFilter
from usage.listings import REQUESTS, RequestRows
from usage.models import RequestLog
from usage.request_pages import RequestPages
from usage.selectors import Usage, lifetime_totals_of, overview_of, usage_of
from usage.serializers.account import (
    KEY_SUMMARY,
    SUMMARY,
    USAGE,
    AccountSummary,
    AccountSummarySerializer,
    KeySummary,
    KeySummarySerializer,
    RequestSerializer,
    UsageStats,
    UsageStatsSerializer,
)
from usage.windows import PERIODS, start_of_period

RESOLUTION = "X-Usage-Resolution"


def usage_stats(user_id: int, period: str, start: dt.datetime, end: dt.datetime, now: dt.datetime) -> UsageStats:
    """Sum a window, and return its usage with the requested period."""
    return stats_of(user_id, period, start, end, usage_of(user_id=user_id, start=start, end=end, now=now))


def stats_of(user_id: int, period: str, start: dt.datetime, end: dt.datetime, usage: Usage) -> UsageStats:
    """Return a window's usage with the requested period; if the window was widened, with the wider one."""
    return UsageStats(user_id, period, usage, *(usage.widened_to or (start, end)))


class UsageViewSet(LeanViewSet):
    """The customer's usage."""

    @extend_schema(
        operation_id="usage",
        summary="Usage statistics",
        description="The requests that occurred in the window, and their credits. If the requests themselves are no "
        "longer stored, an edge inside a day is moved outward to midnight (UTC): the response then has the widened "
        "window, and the header X-Usage-Resolution.",
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
            OpenApiParameter("from", str, description="Start, included. Default: start of the period."),
            OpenApiParameter("to", str, description="End, not included; a date is a whole day. Default: now."),
        ],
        responses={200: UsageStatsSerializer, 400: FieldErrorsSerializer, **REFUSALS},
    )
    def retrieve(self, request: LeanRequest) -> LeanAnswer:
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
        stats = usage_stats(request.user.pk, period, start, end, now)
        headers = {RESOLUTION: "day"} if stats.usage.widened_to else {}
        return LeanAnswer(USAGE.of(stats), headers=headers)


REQUESTS_SHEET = Sheet(
    "requests.csv",
    (
        "id", "request_id", "occurred_at", "endpoint", "path", "method", "status", "outcome", "units", "credits",
        "unpaid", "latency_ms", "api_key", "reference", "entry_id", "metadata",
    ),
    sources={"api_key": "api_key_prefix"},
)  # fmt: skip


class RequestsViewSet(LeanListViewSet):
    """The customer's request log."""

    serializer_class = RequestSerializer
    filterset_class = RequestFilter
    pagination_class = LongListPagination
    queryset = RequestLog.objects.none()  # the pages come from a selector that reads only days with matching requests

    @extend_schema(
        operation_id="requests",
        summary="Request log",
        description="Every request, newest first; rejected ones too, which count in no statistics. Follow "
        "`next_cursor` to read far back. By `api_key`, `count` is null where more than 100000 requests of the window "
        "would have to be read to count them.",
        tags=["account"],
        parameters=[FORMAT],
        responses=listed(RequestSerializer, "requests"),
    )
    def list(self, request: LeanRequest) -> LeanAnswer | StreamingHttpResponse:
        asked = self._asked(request)
        if wants_csv(request):
            return REQUESTS_SHEET.answer(request, RequestPages(**asked))
        return self.page_of(request, RequestRows(**asked), REQUESTS)

    def _asked(self, request: LeanRequest) -> dict[str, Any]:
        asked = filter_values(request, RequestFilter)
        return {
            "user_id": request.user.pk,
            "now": timezone.now(),
            "endpoint": asked["endpoint"] or None,
            "outcome": asked["status"] or None,
            "api_key": asked["api_key"].removeprefix(key_format.KEY_START) or None,
            "start": asked["from"],
            "end": asked["to"],
        }


class SummaryViewSet(LeanViewSet):
    """The whole account on one page."""

    @extend_schema(
        operation_id="summary",
        summary="Account summary",
        description="Credits, subscription and usage of the running month, read at one time.",
        tags=["account"],
        responses={200: AccountSummarySerializer, **REFUSALS},
    )
    def retrieve(self, request: LeanRequest) -> LeanAnswer:
        now = timezone.now()
        summary = self._of(request.user, now)
        if summary.subscription is not None and is_due(summary.subscription, now=now):
            settle_grants(user_id=request.user.pk)
            summary = self._of(request.user, now)
        return LeanAnswer(SUMMARY.of(summary))

    def _of(self, user: User, now: dt.datetime) -> AccountSummary:
        start = start_of_period("monthly", now)
        overview = overview_of(user_id=user.pk, start=start, end=now, now=now)
        return AccountSummary(user, overview, stats_of(user.pk, "monthly", start, now, overview.usage))


class KeySummaryViewSet(LeanViewSet):
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
    def retrieve(self, request: LeanRequest) -> LeanAnswer:
        return LeanAnswer(KEY_SUMMARY.of(KeySummary(request.user, lifetime_totals_of(user_id=request.user.pk))))
