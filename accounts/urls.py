"""Included under `auth/`."""

from django.urls import path

from accounts.views import signing_in
from accounts.views.api_keys import ApiKeyViewSet

urlpatterns = [
    path("register", signing_in.RegisterView.as_view(), name="register"),
    path("login", signing_in.LoginView.as_view(), name="login"),
    path("refresh", signing_in.RefreshView.as_view(), name="refresh"),
    path("logout", signing_in.LogoutView.as_view(), name="logout"),
    path("password", signing_in.PasswordView.as_view(), name="password"),
    path("account/api-keys", ApiKeyViewSet.as_view({"get": "list", "post": "create"}), name="api-keys"),
    path(
        "account/api-keys/<str:id>",
        ApiKeyViewSet.as_view({"patch": "partial_update", "delete": "destroy"}),
        name="api-key",
    ),
    path("account/api-keys/<str:id>/rotate", ApiKeyViewSet.as_view({"post": "rotate"}), name="rotate-api-key"),
]
