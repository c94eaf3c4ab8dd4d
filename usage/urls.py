"""Included at the root: statistics and summaries."""

from django.urls import path

from usage.views.account import KeySummaryViewSet, RequestsViewSet, SummaryViewSet, UsageViewSet

urlpatterns = [
    path("auth/account/usage", UsageViewSet.as_view({"get": "retrieve"}), name="usage"),
    path("auth/account/requests", RequestsViewSet.as_view({"get": "list"}), name="requests"),
    path("auth/account/summary", SummaryViewSet.as_view({"get": "retrieve"}), name="summary"),
    path("v2/account/summary", KeySummaryViewSet.as_view({"get": "retrieve"}), name="key-summary"),
]
