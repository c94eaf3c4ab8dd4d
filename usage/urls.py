"""Included at the root: metering, statistics and summaries. The busiest come first: they are tried in order."""

from django.conf import settings
from django.urls import path

from usage.views.account import KeySummaryViewSet, RequestsViewSet, SummaryViewSet, UsageViewSet
from usage.views.alerts import AlertsViewSet
from usage.views.api_keys import SpendingKeyViewSet
from usage.views.charges import ChargesViewSet
from usage.views.demo import TranslationViewSet
from usage.views.events import EventsViewSet, OpenMeterEventsViewSet
from usage.views.explanations import ExplanationViewSet
from usage.views.forecast import ForecastViewSet
from usage.views.holds import HoldsViewSet
from usage.views.keys import KeyVerdictsViewSet

urlpatterns = [
    path("v2/charges", ChargesViewSet.as_view({"post": "create"}), name="charges"),
    path("v2/holds", HoldsViewSet.as_view({"post": "create"}), name="open-hold"),
    path("v2/holds/<str:id>/capture", HoldsViewSet.as_view({"post": "capture"}), name="capture-hold"),
    path("v2/holds/<str:id>/release", HoldsViewSet.as_view({"post": "release"}), name="release-hold"),
    path("v2/holds/<str:id>/extend", HoldsViewSet.as_view({"post": "extend"}), name="extend-hold"),
    path("v2/holds/<str:id>", HoldsViewSet.as_view({"get": "retrieve"}), name="hold"),
    path("v2/events", EventsViewSet.as_view({"post": "create"}), name="events"),
    path("api/v1/events", OpenMeterEventsViewSet.as_view({"post": "create"}), name="openmeter-events"),
    path("v2/charges/<str:id>/refund", ChargesViewSet.as_view({"post": "refund"}), name="refund"),
    path("v2/keys/verify", KeyVerdictsViewSet.as_view({"post": "create"}), name="verify-key"),
    path("v2/account/summary", KeySummaryViewSet.as_view({"get": "retrieve"}), name="key-summary"),
    path("auth/account/usage", UsageViewSet.as_view({"get": "retrieve"}), name="usage"),
    path("auth/account/requests", RequestsViewSet.as_view({"get": "list"}), name="requests"),
    path("auth/account/credits/forecast", ForecastViewSet.as_view({"get": "retrieve"}), name="forecast"),
    path(
        "auth/account/ledger/<str:id>/explain",
        ExplanationViewSet.as_view({"get": "retrieve"}),
        name="explain-ledger-entry",
    ),
    path("auth/account/alerts", AlertsViewSet.as_view({"get": "list", "post": "create"}), name="alerts"),
    path(
        "auth/account/alerts/<str:id>",
        AlertsViewSet.as_view({"patch": "partial_update", "delete": "destroy"}),
        name="alert",
    ),
    path("auth/account/api-keys", SpendingKeyViewSet.as_view({"get": "list", "post": "create"}), name="api-keys"),
    path(
        "auth/account/api-keys/<str:id>",
        SpendingKeyViewSet.as_view({"patch": "partial_update", "delete": "destroy"}),
        name="api-key",
    ),
    path(
        "auth/account/api-keys/<str:id>/rotate",
        SpendingKeyViewSet.as_view({"post": "rotate"}),
        name="rotate-api-key",
    ),
    path("auth/account/summary", SummaryViewSet.as_view({"get": "retrieve"}), name="summary"),
]
if not settings.IN_PRODUCTION:
    urlpatterns.append(path("v2/demo/translate", TranslationViewSet.as_view({"post": "create"}), name="demo-translate"))
