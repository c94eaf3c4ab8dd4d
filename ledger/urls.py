"""Included at the root: credits and ledger of the Account API."""

from django.urls import path

from ledger.views import CreditsViewSet, LedgerViewSet

urlpatterns = [
    path("auth/account/credits", CreditsViewSet.as_view({"get": "retrieve"}), name="credits"),
    path("auth/account/ledger", LedgerViewSet.as_view({"get": "list"}), name="ledger"),
]
