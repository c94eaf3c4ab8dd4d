"""Sending somebody a link that sets a new password: what support does instead of setting one themselves."""

from __future__ import annotations

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.http import require_http_methods

from accounts.admin.touching import demand_touch
from accounts.errors import AccountsRefusal
from accounts.models import User
from accounts.services.signing_in.password_reset import request_reset
from config.backoffice.links import page_url
from config.backoffice.record import record_change

PERMISSION = "accounts.send_password_reset"


@require_http_methods(["GET", "HEAD", "POST"])
def send_reset_link_view(request: HttpRequest, *, person: User | None, site: AdminSite) -> HttpResponse:
    """Ask before sending: a GET shows the question, a POST does it. The link goes to the person and to nobody else.

    :raises PermissionDenied: to whoever may not do this, or not for this person
    :raises Http404: if there is no such person
    """
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    if person is None:
        raise Http404
    demand_touch(request, person)
    if request.method == "POST":
        _send(request, person)
        may_see = request.user.has_perm("accounts.view_user") or request.user.has_perm("accounts.change_user")
        return HttpResponseRedirect(page_url("accounts_user", person.pk) if may_see else reverse("admin:index"))
    context = {
        **site.each_context(request),
        "title": "Send reset link",
        "subtitle": str(person),
        "opts": User._meta,
        "person": person,
    }
    return TemplateResponse(request, "admin/accounts/user/send_reset_link.html", context)


def _send(request: HttpRequest, person: User) -> None:
    try:
        with transaction.atomic():
            request_reset(user_id=person.pk, now=timezone.now())
            record_change(request, [person], "Sent a link to set a new password.")
    except AccountsRefusal as refusal:
        messages.error(request, f"Nothing was sent. {refusal}")
    else:
        messages.success(request, "The link goes out with the next emails, within minutes.")
