"""URLs under `auth/`. API keys are in usage/urls.py, since they are shown with the credits that they spent."""

from django.urls import path

from accounts.views import signing_in
from accounts.views.webhooks import DeliveryViewSet, WebhookViewSet

urlpatterns = [
    path("register", signing_in.RegisterView.as_view(), name="register"),
    path("login", signing_in.LoginView.as_view(), name="login"),
    path("refresh", signing_in.RefreshView.as_view(), name="refresh"),
    path("logout", signing_in.LogoutView.as_view(), name="logout"),
    path("password", signing_in.PasswordView.as_view(), name="password"),
    path("password-reset/confirm", signing_in.PasswordResetView.as_view(), name="confirm-password-reset"),
    path("account/webhooks", WebhookViewSet.as_view({"get": "list", "post": "create"}), name="webhooks"),
    path(
        "account/webhooks/<str:id>",
        WebhookViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
        name="webhook",
    ),
    path(
        "account/webhooks/<str:id>/rotate-secret",
        WebhookViewSet.as_view({"post": "rotate_secret"}),
        name="rotate-webhook-secret",
    ),
    path("account/webhooks/<str:id>/test", WebhookViewSet.as_view({"post": "test"}), name="test-webhook"),
    path("account/webhooks/<str:id>/deliveries", DeliveryViewSet.as_view({"get": "list"}), name="webhook-deliveries"),
    path(
        "account/webhooks/<str:id>/deliveries/<str:delivery_id>",
        DeliveryViewSet.as_view({"get": "retrieve"}),
        name="webhook-delivery",
    ),
    path(
        "account/webhooks/<str:id>/deliveries/<str:delivery_id>/resend",
        DeliveryViewSet.as_view({"post": "resend"}),
        name="resend-webhook-delivery",
    ),
]
