"""Revoking API keys: one on its own page, all of a customer's on theirs, some in the list."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from django.contrib import messages
from django.contrib.admin import AdminSite
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.db import transaction
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone

from accounts.admin.access import may_act_on_key, require_access_to_keys
from accounts.admin.accounts_action import AccountsAction
from accounts.admin.customer_action import CustomerAction
from accounts.errors import NoKeyToRevoke
from accounts.models import ApiKey, User
from accounts.services.keys.api_keys import revoke_api_key
from config.backoffice.once_action import Effect, FormReused, in_words, spend_form
from config.backoffice.once_form import ReasonForm
from config.backoffice.record import actor_id, record_change
from config.backoffice.staff_action import Lines
from config.backoffice.times import shown_at

REVOKE = "accounts.revoke_apikey"
MOST_NAMED = 50
_FINAL = "From now on no call with {} is accepted. A revoked key never works again."


class RevokeKey(AccountsAction[ApiKey]):
    name = path = "revoke"
    permission, needs_view = REVOKE, True
    title = "Revoke key"
    verb = "revoked"

    @classmethod
    def may_act_on(cls, viewer: Any, target: ApiKey) -> bool:
        return may_act_on_key(viewer, target)

    @classmethod
    def applies_to(cls, target: ApiKey) -> bool:
        return target.revoked_at is None

    @classmethod
    def label(cls, target: ApiKey) -> str:  # noqa: ARG003
        return "Revoke…"

    def figures(self) -> Lines:
        return [("Owner", str(self.target.user or "a service")), ("Last used", shown_at(self.target.last_used_at))]

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return f"“{self.target.name}”. {_FINAL.format('this key')}"

    def apply(self, asked: dict[str, Any]) -> Effect:  # noqa: ARG002
        return revoke_all([self.target])


class RevokeKeys(CustomerAction[User], AccountsAction[User]):
    """Every key of a customer that is not revoked, in one go: when it is not known which of them leaked."""

    name, path = "revoke_keys", "revoke-keys"
    is_dangerous = True
    permission = REVOKE
    title = "Revoke all keys"
    verb = "revoked"

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return f"Every API key of {self.target}. {_FINAL.format('any of them')} New ones are issued by “Issue key”."

    def apply(self, asked: dict[str, Any]) -> Effect:
        keys = list(ApiKey.objects.of(self.target.pk).filter(revoked_at=None).order_by("pk"))
        effect = revoke_all(keys)
        record_change(self.request, keys, in_words(Effect("Revoked with all keys of the customer", []), asked["note"]))
        return effect


def revoke_all(keys: Collection[ApiKey]) -> Effect:
    """Revoke these keys in the caller's transaction.

    :raises NoKeyToRevoke: if all were revoked before
    """
    working = list(
        ApiKey.objects.select_for_update(no_key=True)
        .filter(pk__in=[key.pk for key in keys], revoked_at=None)
        .order_by("pk")
    )
    if not working:
        raise NoKeyToRevoke
    now = timezone.now()
    for key in working:
        revoke_api_key(prefix=key.prefix, now=now)
    lines = [(str(key), f"“{key.name}”, last used {shown_at(key.last_used_at)}") for key in working[:MOST_NAMED]]
    rest = len(working) - len(lines)
    return Effect("Revoked", [*lines, ("And", f"{rest} more")] if rest else lines)


def revoke_selected(request: HttpRequest, chosen: QuerySet[ApiKey], site: AdminSite) -> HttpResponse | None:
    """Ask for a reason, then revoke the keys that were chosen in the list, all or none."""
    keys = list(chosen.select_related("user"))
    require_access_to_keys(request, keys)
    form = ReasonForm(request.POST if "confirmed" in request.POST else None)
    refusal = None
    if form.is_valid():
        try:
            _revoke_once(request, keys, form)
        except NoKeyToRevoke as nothing:
            messages.warning(request, f"Nothing was revoked. {nothing}")
            return None
        except FormReused:
            form.renew_key()
            refusal = "This form has already revoked other keys. To revoke these as well, send it again."
        else:
            return None
    context = {
        **site.each_context(request),
        "title": "Revoke API keys?",
        "opts": ApiKey._meta,
        "keys": keys,
        "form": form,
        "refusal": refusal,
        "action_checkbox_name": ACTION_CHECKBOX_NAME,
    }
    return TemplateResponse(request, "admin/accounts/apikey/revoke.html", context)


@transaction.atomic
def _revoke_once(request: HttpRequest, keys: list[ApiKey], form: ReasonForm) -> None:
    asked = form.cleaned_data
    submitted = {**asked, "keys": sorted(key.pk for key in keys)}
    if not spend_form(asked["form_key"], path=request.path, actor_id=actor_id(request), submitted=submitted):
        messages.warning(request, "This form was sent before; nothing was revoked again.")
        return
    working = [key for key in keys if key.revoked_at is None]
    revoke_all(working)
    record_change(request, working, in_words(Effect("Revoked", []), asked["note"]))
    messages.success(request, f"Revoked: {', '.join(map(str, working))}.")
