"""Included at the root: credits, ledger and holds of the Account API."""

from django.urls import path

from ledger.views import CreditsViewSet, HoldsViewSet, LedgerViewSet

urlpatterns = [
    path("auth/account/credits", CreditsViewSet.as_view({"get": "retrieve"}), name="credits"),
    path("auth/account/ledger", LedgerViewSet.as_view({"get": "list"}), name="ledger"),
    path("auth/account/ledger/<str:id>", LedgerViewSet.as_view({"get": "retrieve"}), name="ledger-entry"),
    path("auth/account/holds", HoldsViewSet.as_view({"get": "list"}), name="holds"),
]
