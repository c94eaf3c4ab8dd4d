"""Included at the root: credits, ledger, holds, grants and payments of the Account API."""

from django.urls import path

from ledger.providers.registry import webhook_senders
from ledger.views.account import CreditsViewSet, GrantsViewSet, HoldsViewSet, LedgerViewSet
from ledger.views.auto_reload import AutoReloadViewSet, ReloadHistoryViewSet
from ledger.views.disputes import DisputesViewSet
from ledger.views.payments import PackagesViewSet, PaymentMethodsViewSet, TopUpsViewSet
from ledger.views.provider_webhook import webhook_view

urlpatterns = [
    path("auth/account/credits", CreditsViewSet.as_view({"get": "retrieve"}), name="credits"),
    path("auth/account/ledger", LedgerViewSet.as_view({"get": "list"}), name="ledger"),
    path("auth/account/ledger/<str:id>", LedgerViewSet.as_view({"get": "retrieve"}), name="ledger-entry"),
    path("auth/account/disputes", DisputesViewSet.as_view({"get": "list", "post": "create"}), name="disputes"),
    path("auth/account/disputes/<str:id>", DisputesViewSet.as_view({"get": "retrieve"}), name="dispute"),
    path(
        "auth/account/disputes/<str:id>/messages", DisputesViewSet.as_view({"post": "write"}), name="dispute-messages"
    ),
    path(
        "auth/account/disputes/<str:id>/withdraw",
        DisputesViewSet.as_view({"post": "withdraw"}),
        name="withdraw-dispute",
    ),
    path("auth/account/holds", HoldsViewSet.as_view({"get": "list"}), name="holds"),
    path("auth/account/top-up-packages", PackagesViewSet.as_view({"get": "list"}), name="top-up-packages"),
    path("auth/account/top-ups", TopUpsViewSet.as_view({"get": "list", "post": "create"}), name="top-ups"),
    path("auth/account/top-ups/<str:id>", TopUpsViewSet.as_view({"get": "retrieve"}), name="top-up"),
    path(
        "auth/account/payment-methods",
        PaymentMethodsViewSet.as_view({"get": "list", "post": "create"}),
        name="payment-methods",
    ),
    path(
        "auth/account/payment-methods/<str:id>",
        PaymentMethodsViewSet.as_view({"delete": "destroy"}),
        name="payment-method",
    ),
    path(
        "auth/account/auto-reload",
        AutoReloadViewSet.as_view({"get": "retrieve", "patch": "partial_update"}),
        name="auto-reload",
    ),
    path("auth/account/auto-reload/history", ReloadHistoryViewSet.as_view({"get": "list"}), name="auto-reload-history"),
    *(path(f"webhooks/{name}", webhook_view(name), name=f"{name}-webhook") for name in webhook_senders()),
    path("auth/account/grants", GrantsViewSet.as_view({"get": "list"}), name="grants"),
]
