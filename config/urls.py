"""Every path of this site. API paths have no trailing slash; with one they are a 404."""

from __future__ import annotations

from django.contrib import admin
from django.urls import include, path
from django.views.generic import RedirectView, TemplateView

from accounts.views.reset_page import reset_page
from config.docs import DocsView, SchemaView
from config.health import LiveView, ReadyView
from config.metrics import MetricsView

# Paths are tried in this order: the API's, which programs call all day, come first.
urlpatterns = [
    path("", include("usage.urls")),
    path("", include("ledger.urls")),
    path("auth/", include("accounts.urls")),
    path("", TemplateView.as_view(template_name="landing.html"), name="landing"),
    path("reset-password/<str:token>/", reset_page, name="reset-password"),
    path("livez", LiveView.as_view(), name="livez"),
    path("readyz", ReadyView.as_view(), name="readyz"),
    path("metrics", MetricsView.as_view(), name="metrics"),
    path("api/schema", SchemaView.as_view(), name="schema"),
    path("api/docs", DocsView.as_view(), name="docs"),
    path("account/", include("accounts.page_urls")),
    path("admin", RedirectView.as_view(url="/admin/")),
    path("admin/", admin.site.urls),
]

handler400 = "config.http.middleware.bad_request"
handler403 = "config.http.middleware.permission_denied"
handler404 = "config.http.middleware.not_found"
handler500 = "config.http.middleware.server_error"
