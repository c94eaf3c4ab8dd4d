"""Staff change their own password. Wrong guesses at the current one count as failed sign-ins."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.forms import AdminPasswordChangeForm
from django.contrib.auth import hashers
from django.contrib.auth.views import PasswordChangeView
from django.core.exceptions import ValidationError
from django.http import HttpRequest
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone

from accounts.backends import too_many_failures
from accounts.errors import HashingBusy, TooManyLoginFailures, WrongCurrentPassword
from accounts.forms import limit_password_length
from accounts.models import User
from accounts.pages.limited import as_too_many_requests
from accounts.services.signing_in.passwords import store_password, verify_current_password
from config.backoffice.site import BackOfficeSite
from config.http.client_address import client_address


class OwnPasswordForm(AdminPasswordChangeForm):
    """The current password, and the new one twice."""

    def __init__(self, *args: Any, address: str, **options: Any) -> None:
        super().__init__(*args, **options)
        self.address = address
        limit_password_length(self, "new_password1", "new_password2")

    def clean_old_password(self) -> str:
        current: str = self.cleaned_data["old_password"]
        user = self.user
        try:
            verify_current_password(user=user, current=current, address=self.address, now=timezone.now())
        except WrongCurrentPassword as refusal:
            raise ValidationError(refusal.errors["current_password"], code="password_incorrect") from None
        except (TooManyLoginFailures, HashingBusy) as refusal:
            raise too_many_failures(refusal) from None
        return current

    def save(self, commit: bool = True) -> User:  # noqa: FBT001, FBT002, ARG002  as Django calls it
        """Store the password, as the API does: revoke tokens, end other sessions and notify the person."""
        user = self.user
        store_password(user=user, encoded=hashers.make_password(self.cleaned_data["new_password1"]), now=timezone.now())
        return user


class OwnPasswordView(PasswordChangeView):
    form_class = OwnPasswordForm
    template_name = "registration/password_change_form.html"

    def get_form_kwargs(self) -> dict[str, Any]:
        return {**super().get_form_kwargs(), "address": client_address(self.request)}


def own_password(request: HttpRequest, context: dict[str, Any]) -> HttpResponseBase:
    """Return the page on which staff change their own password."""
    view = OwnPasswordView.as_view(success_url=reverse("admin:password_change_done"), extra_context=context)
    return as_too_many_requests(view(request))


cast(BackOfficeSite, admin.site).own_password = own_password
