"""Signing in to the back office: the password here, the second factor on the next page if there is one."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.internal.flows.login import (
    clear_authentication_records,
    perform_login,
    record_authentication,
)
from allauth.account.models import Login
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.forms import AdminAuthenticationForm
from django.contrib.auth.views import LoginView
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.urls import reverse

from accounts.pages.limited import as_too_many_requests
from config.backoffice.site import BackOfficeSite
from config.http.sign_in_records import PASSWORD


class StaffSignIn(LoginView):
    """Email and password. django-allauth goes on from there, and signs in whoever has given all that is asked."""

    authentication_form = AdminAuthenticationForm
    template_name = "admin/login.html"

    def get_default_redirect_url(self) -> str:
        return reverse("admin:index")

    def form_valid(self, form: Any) -> HttpResponse:
        user = form.get_user()
        clear_authentication_records(self.request)
        record_authentication(self.request, user, PASSWORD)
        answer: HttpResponse = perform_login(self.request, Login(user=user, redirect_url=self.get_success_url()))
        return answer

    def get_context_data(self, **named: Any) -> dict[str, Any]:
        more = {
            "app_path": self.request.get_full_path(),
            "username": self.request.user.get_username(),
            "single_sign_on": settings.OIDC_NAME if settings.OIDC_ISSUER else None,
            "single_sign_on_url": reverse("openid_connect_login", args=[settings.OIDC_PROVIDER_ID]),
        }
        return {**super().get_context_data(**named), **more}


def sign_in(request: HttpRequest, context: dict[str, Any]) -> HttpResponseBase:
    """Return the sign-in page, or what follows it."""
    return as_too_many_requests(StaffSignIn.as_view(extra_context=context)(request))


cast(BackOfficeSite, admin.site).sign_in = sign_in
