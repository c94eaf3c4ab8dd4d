"""Single sign-on: leading a person to the issuer, and back."""

from __future__ import annotations

from typing import Any

from allauth.socialaccount.providers.openid_connect import views
from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.http.response import HttpResponseBase
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode
from django.views.decorators.http import require_safe

from accounts.errors import IssuerBusy
from accounts.providers.issuer import turn
from accounts.services.signing_in.page_sessions import purge_ended_sessions
from accounts.sign_in.single_sign_on import refusal_page


@require_safe
def begin(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Lead to the issuer."""
    _require_configured(provider_id)
    _drop_parameters(request)
    purge_ended_sessions(now=timezone.now())  # anybody may begin, and each beginning is a session
    return _in_turn(request, views.login, provider_id)


@require_safe
def finish(request: HttpRequest, provider_id: str) -> HttpResponseBase:
    """Come back from the issuer: sign the person in, or say why not."""
    _require_configured(provider_id)
    return _in_turn(request, views.callback, provider_id)


@require_safe
def again(request: HttpRequest) -> HttpResponse:
    """Lead a person who has nothing else to confirm with to the issuer, which is to ask anew."""
    _require_configured(settings.OIDC_PROVIDER_ID)
    asked = {"again": "1", "next": request.GET.get("next", "")}
    return HttpResponseRedirect(
        f"{reverse('openid_connect_login', args=[settings.OIDC_PROVIDER_ID])}?{urlencode(asked)}"
    )


@require_safe
def cancelled(request: HttpRequest) -> HttpResponse:
    return refusal_page(request, "You left before the issuer had signed you in.", status=200)


def _in_turn(request: HttpRequest, view: Any, provider_id: str) -> HttpResponseBase:
    try:
        with turn():
            answer: HttpResponseBase = view(request, provider_id)
    except IssuerBusy as refusal:
        return refusal_page(request, str(refusal), status=503)
    return answer


def _require_configured(provider_id: str) -> None:
    """Require that single sign-on is on.

    :raises Http404: if it is not, or goes by another name
    """
    if not settings.OIDC_ISSUER or provider_id != settings.OIDC_PROVIDER_ID:
        raise Http404


def _drop_parameters(request: HttpRequest) -> None:
    """Keep what is ours of the query: django-allauth passes on scopes and parameters that a link may name."""
    kept = {"next": request.GET["next"]} if request.GET.get("next") else {}
    if request.GET.get("again"):
        kept["auth_params"] = urlencode({"prompt": "login", "max_age": "0"})
    request.GET = request.GET.__class__(urlencode(kept))
