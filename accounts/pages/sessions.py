"""The page on which people see where they are signed in, and end those sessions."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings
from django.contrib import messages
from django.contrib.auth.mixins import LoginRequiredMixin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.views.generic import TemplateView

from accounts.services.signing_in.page_sessions import end_sessions, sessions_of


class _EndForm(forms.Form):
    """Which session to end; empty: all others."""

    session = forms.IntegerField(required=False, min_value=1, max_value=2**63 - 1)


class SessionsPage(LoginRequiredMixin, TemplateView):
    """The sessions of the person, the own one marked."""

    template_name = "account/sessions.html"
    http_method_names = ("get", "head", "post")

    def get_context_data(self, **named: Any) -> dict[str, Any]:
        own = self.request.session.session_key
        sessions = sessions_of(_person(self.request), now=timezone.now())
        ends = {"idle_minutes": settings.ADMIN_IDLE_MINUTES, "session_hours": settings.ADMIN_SESSION_HOURS}
        return {**super().get_context_data(**named), **ends, "sessions": sessions, "own": own}

    def post(self, request: HttpRequest) -> HttpResponse:
        form = _EndForm(request.POST)
        if form.is_valid():
            named = form.cleaned_data["session"]
            ended = end_sessions(user_id=_person(request), session_id=named, but=request.session.session_key)
            said = "Nothing was ended: it was over already." if not ended else f"Sessions ended: {ended}."
            messages.info(request, said)
        return HttpResponseRedirect(reverse("account_sessions"))


def _person(request: HttpRequest) -> int:
    return int(request.user.pk or 0)
