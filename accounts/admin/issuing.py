"""Issuing an API key: a form, then a page that shows the key, once and nowhere else."""

from __future__ import annotations

import datetime as dt
import uuid
from typing import Any

from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_variables
from django.views.decorators.http import require_http_methods

from accounts.admin.touching import SERVICE_KEYS, may_touch
from accounts.errors import ApiKeyRefused
from accounts.forms import IssueKeyForm
from accounts.models import ApiKey, User
from accounts.services.keys.api_keys import IssuedKey
from accounts.services.keys.forms import issue_key_once, scopes_for
from config.backoffice.links import list_url, page_url
from config.backoffice.record import record_change

CUSTOMER_KEYS = "accounts.add_apikey"


def may_issue_key(viewer: Any, customer: User | None) -> bool:
    """Tell whether this member of the staff may issue a key for this customer, or for a service."""
    if customer is not None and not may_touch(viewer, customer):
        return False
    return bool(viewer.has_perm(SERVICE_KEYS if customer is None else CUSTOMER_KEYS))


@never_cache  # the answer has the key in it: nobody is to keep a copy
@require_http_methods(["GET", "HEAD", "POST"])
def issue_key_view(request: HttpRequest, *, customer: User | None, site: AdminSite) -> HttpResponse:
    """Show the form; take it, and answer with the key itself.

    The key is in this one answer only. Reloading sends the form again, which issues nothing and shows nothing.

    :raises PermissionDenied: to whoever may not issue such a key
    """
    if not may_issue_key(request.user, customer):
        raise PermissionDenied
    now = timezone.now()
    options: dict[str, Any] = {"allowed": scopes_for(customer), "today": now.astimezone(dt.UTC).date()}
    if request.method != "POST":
        return _page(request, customer, site, IssueKeyForm(initial={"form_key": str(uuid.uuid4())}, **options))
    form = IssueKeyForm(request.POST, **options)
    if customer is not None and not customer.is_active:
        return _page(request, customer, site, form)
    if not form.is_valid():
        return _page(request, customer, site, form, new_key="form_key" in form.errors)
    try:
        answer = _issue(request, customer, form, now)
    except ApiKeyRefused as refusal:
        form.add_error(None, str(refusal))
        return _page(request, customer, site, form)
    return _shown(request, customer, site, answer)


@sensitive_variables("issued")
@transaction.atomic
def _issue(request: HttpRequest, customer: User | None, form: IssueKeyForm, now: dt.datetime) -> IssuedKey | ApiKey:
    """Issue the key, and note in the record of staff that it was, by its public part."""
    asked = form.cleaned_data
    issued = issue_key_once(
        user=customer,
        name=asked["name"],
        scopes=asked["scopes"],
        now=now,
        expires_at=form.expires_at(),
        form_key=asked["form_key"],
    )
    if isinstance(issued, IssuedKey):
        holder = "a service" if customer is None else str(customer)
        message = f"Issued API key {issued.api_key} “{issued.api_key.name}” for {holder}."
        record_change(request, [issued.api_key], message)
        if customer is not None:
            record_change(request, [customer], message)
    return issued


@sensitive_variables("issued", "context")
def _shown(
    request: HttpRequest, customer: User | None, site: AdminSite, issued: IssuedKey | ApiKey
) -> TemplateResponse:
    api_key = issued.api_key if isinstance(issued, IssuedKey) else issued
    context = {
        **_common(request, customer, site),
        "title": "API key issued" if isinstance(issued, IssuedKey) else "This form has issued its key already",
        "api_key": api_key,
        "raw": issued.raw if isinstance(issued, IssuedKey) else None,
        "key_url": page_url("accounts_apikey", api_key.pk) if request.user.has_perm("accounts.view_apikey") else None,
    }
    return TemplateResponse(request, "admin/accounts/apikey/issued.html", context)


def _page(
    request: HttpRequest, customer: User | None, site: AdminSite, form: IssueKeyForm, *, new_key: bool = False
) -> HttpResponse:
    context = {
        **_common(request, customer, site),
        "title": "Issue API key" if customer is not None else "Issue service key",
        "form": form,
        "form_key": str(uuid.uuid4()) if new_key else form["form_key"].value(),
    }
    return TemplateResponse(request, "admin/accounts/apikey/issue.html", context)


def _common(request: HttpRequest, customer: User | None, site: AdminSite) -> dict[str, Any]:
    viewer = request.user
    may_go_back = viewer.has_perm("accounts.view_apikey" if customer is None else "accounts.view_user")
    back = list_url("accounts_apikey") if customer is None else page_url("accounts_user", customer.pk)
    return {
        **site.each_context(request),
        "subtitle": str(customer) if customer is not None else None,
        "opts": ApiKey._meta,
        "customer": customer,
        "back_url": back if may_go_back else reverse("admin:index"),
    }
