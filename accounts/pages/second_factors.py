"""Enrolling and removing second factors: django-allauth's views, and what follows from them here."""

from __future__ import annotations

from typing import Any

from allauth.account.decorators import reauthentication_required
from allauth.account.internal.flows.login import record_authentication
from allauth.mfa.models import Authenticator
from allauth.mfa.totp.views import ActivateTOTPView, DeactivateTOTPView
from allauth.mfa.webauthn.views import AddWebAuthnView, RemoveWebAuthnView
from django.contrib import messages
from django.db import transaction
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.decorators import method_decorator
from django.views.generic.edit import FormView

from accounts.models import User
from accounts.services.account_notices import notify_second_factor_changed
from accounts.sign_in.adapters import SecondFactorAdapter
from config.backoffice.record import record_change
from config.http.sign_in_records import SECOND_FACTOR


class ActivateApp(ActivateTOTPView):
    """Add an authenticator app. Its first code is a second factor given in this session."""

    def form_valid(self, form: Any) -> HttpResponse:
        answer: HttpResponse = super().form_valid(form)
        _note_added(self.request, Authenticator.Type.TOTP)
        return answer


@method_decorator(reauthentication_required(app="allauth.mfa"), name="dispatch")
class ReplaceApp(ActivateTOTPView):
    """Put an authenticator app in place of the one there is, as with a new telephone: nobody is without in between."""

    def dispatch(self, request: HttpRequest, *args: Any, **named: Any) -> HttpResponseBase:
        if not Authenticator.objects.filter(user_id=request.user.pk, type=Authenticator.Type.TOTP).exists():
            return HttpResponseRedirect(reverse("mfa_activate_totp"))
        return FormView.dispatch(self, request, *args, **named)  # not the parent's, which leads to the removal

    def get_context_data(self, **named: Any) -> dict[str, Any]:
        return {**super().get_context_data(**named), "is_replacing": True}

    def form_valid(self, form: Any) -> HttpResponse:
        user: Any = self.request.user
        with transaction.atomic():
            User.objects.select_for_update(no_key=True).get(pk=user.pk)
            Authenticator.objects.filter(user_id=user.pk, type=Authenticator.Type.TOTP).delete()
            answer: HttpResponse = super().form_valid(form)
            record_authentication(self.request, user, SECOND_FACTOR, type=Authenticator.Type.TOTP)
            _tell(self.request, "replaced")
        return answer


class AddKey(AddWebAuthnView):
    """Add a passkey or security key."""

    def form_valid(self, form: Any) -> HttpResponse:
        answer: HttpResponse = super().form_valid(form)
        _note_added(self.request, Authenticator.Type.WEBAUTHN)
        return answer


class DeactivateApp(DeactivateTOTPView):
    def form_valid(self, form: Any) -> HttpResponse:
        answer: HttpResponse = super().form_valid(form)
        _note_removed(self.request)
        return answer


class RemoveKey(RemoveWebAuthnView):
    """Remove a passkey; django-allauth itself would remove the last one of staff, too."""

    def form_valid(self, form: Any) -> HttpResponse:
        adapter = SecondFactorAdapter()
        if not adapter.can_delete_authenticator(self.get_object()):
            messages.error(self.request, adapter.error_messages["cannot_delete_authenticator"])
            return HttpResponseRedirect(reverse("mfa_list_webauthn"))
        answer: HttpResponse = super().form_valid(form)
        _note_removed(self.request)
        return answer


def _note_added(request: HttpRequest, kind: str) -> None:
    user: Any = request.user
    record_authentication(request, user, SECOND_FACTOR, type=kind)
    _tell(request, "added")


def _note_removed(request: HttpRequest) -> None:
    _tell(request, "removed")


def _tell(request: HttpRequest, what: str) -> None:
    """Tell the person, and for staff write the staff log."""
    user: Any = request.user
    with transaction.atomic():
        notify_second_factor_changed(user_id=user.pk, what=what, now=timezone.now())
        if user.is_staff:
            record_change(request, [user], f"A second factor was {what} by its owner.")
