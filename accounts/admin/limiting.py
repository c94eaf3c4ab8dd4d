"""The limits of one API key: a named form, which says afterwards what they were and what they are."""

from __future__ import annotations

from dataclasses import asdict
from decimal import Decimal
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from accounts.admin.touching import demand_touch_of_keys
from accounts.errors import ApiKeyRefused
from accounts.forms import KeyLimitsForm
from accounts.models import ApiKey
from accounts.services.keys.limits import KeyLimits, change_limits, limits_of
from config.backoffice.credits import shown
from config.backoffice.links import page_url
from config.backoffice.record import record_change

PERMISSION = "accounts.change_apikey"


@require_http_methods(["GET", "HEAD", "POST"])
def limit_key_view(request: HttpRequest, *, key: ApiKey | None, site: AdminSite) -> HttpResponse:
    """Show a key's limits; take others in their place. Sent twice, the form changes nothing more.

    :raises PermissionDenied: to whoever may not change keys, or not this one
    :raises Http404: if there is no such key
    """
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    if key is None:
        raise Http404
    demand_touch_of_keys(request, [key])
    if request.method != "POST":
        return _page(request, key, site, KeyLimitsForm(initial=asdict(limits_of(key)), of_service=key.user_id is None))
    form = KeyLimitsForm(request.POST, of_service=key.user_id is None)
    if form.is_valid():
        try:
            return _change(request, key, KeyLimits(**form.cleaned_data))
        except ApiKeyRefused as refusal:
            for field, sentences in refusal.errors.items():
                form.add_error(field, sentences)
    return _page(request, key, site, form)


@transaction.atomic
def _change(request: HttpRequest, key: ApiKey, limits: KeyLimits) -> HttpResponse:
    """Change the limits, and note in the record of staff what they were."""
    changed, before = change_limits(key_id=key.pk, limits=limits)
    if before != limits:
        message = f"Changed limits: {'; '.join(_differences(before, limits))}."
        record_change(request, [changed], message)
        messages.success(request, message)
    else:
        messages.info(request, "Nothing was changed: these were the key's limits already.")
    may_see = request.user.has_perm("accounts.view_apikey")
    return HttpResponseRedirect(page_url("accounts_apikey", key.pk) if may_see else request.path)


def _differences(before: KeyLimits, after: KeyLimits) -> list[str]:
    was, now = asdict(before), asdict(after)
    return [
        f"{KeyLimitsForm.base_fields[name].label} {_said(was[name])} → {_said(now[name])}"
        for name in was
        if was[name] != now[name]
    ]


def _said(limit: Decimal | int | None) -> str:
    return "none" if limit is None else shown(Decimal(limit))


def _page(request: HttpRequest, key: ApiKey, site: AdminSite, form: KeyLimitsForm) -> HttpResponse:
    may_go_back = request.user.has_perm("accounts.view_apikey")
    context: dict[str, Any] = {
        **site.each_context(request),
        "title": "Change limits",
        "subtitle": str(key),
        "opts": ApiKey._meta,
        "api_key": key,
        "form": form,
        "back_url": page_url("accounts_apikey", key.pk) if may_go_back else reverse("admin:index"),
    }
    return TemplateResponse(request, "admin/accounts/apikey/limits.html", context)
