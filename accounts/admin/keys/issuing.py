"""Issue an API key: a form, then a page that shows the key once."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django.contrib.admin import AdminSite
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers
from django.views.decorators.debug import sensitive_variables

from accounts.admin.access import SERVICE_KEYS
from accounts.admin.customer_action import CustomerAction
from accounts.errors import ApiKeyRefused
from accounts.forms import IssueKeyForm
from accounts.models import ApiKey, User
from accounts.services.keys.api_keys import IssuedKey
from accounts.services.keys.forms import issue_key_once, scopes_for
from config.backoffice.links import list_url, page_url
from config.backoffice.record import record_change
from config.backoffice.staff_action import StaffAction, Target

_SHOWN_ONCE = "The key is shown once, on the next page: have a safe place for it at hand."
_DEACTIVATED = "This account is deactivated: no key of it would work. Activate it first."


class _Issue(StaffAction[Target]):
    """Issue a key of a customer or of a service.

    Only one response contains the key. Reloading submits the form again, which issues nothing and shows no key.
    """

    button = "Issue key"
    form_class = IssueKeyForm
    template = "admin/accounts/apikey/issue.html"

    @classmethod
    def view(cls, request: HttpRequest, *, target: Target | None, site: AdminSite) -> HttpResponse:
        answer = super().view(request, target=target, site=site)
        add_never_cache_headers(answer)  # the response contains the key: it must not be cached
        return answer

    def customer(self) -> User | None:
        """Return the key's owner; None for a service key."""
        return None

    def form_options(self) -> dict[str, Any]:
        return {"allowed": scopes_for(self.customer()), "today": timezone.now().astimezone(dt.UTC).date()}

    @sensitive_variables("issued")
    def do(self, form: IssueKeyForm) -> HttpResponse:
        try:
            issued = self._issue(form)
        except ApiKeyRefused as refusal:
            form.add_error(None, str(refusal))
            return self.page(form)
        return self._show(form, issued)

    @sensitive_variables("issued")
    @transaction.atomic
    def _issue(self, form: IssueKeyForm) -> IssuedKey | ApiKey:
        """Issue the key and record it in the staff log by its public part."""
        asked, customer = form.cleaned_data, self.customer()
        issued = issue_key_once(
            user=customer,
            name=asked["name"],
            scopes=asked["scopes"],
            now=timezone.now(),
            expires_at=form.expires_at(),
            form_key=asked["form_key"],
        )
        if isinstance(issued, IssuedKey):
            holder = "a service" if customer is None else str(customer)
            message = f"Issued API key {issued.api_key} “{issued.api_key.name}” for {holder}."
            record_change(self.request, [issued.api_key], message)
            if customer is not None:
                record_change(self.request, [customer], message)
        return issued

    @sensitive_variables("issued", "context")
    def _show(self, form: IssueKeyForm, issued: IssuedKey | ApiKey) -> HttpResponse:
        api_key = issued.api_key if isinstance(issued, IssuedKey) else issued
        may_see_keys = self.request.user.has_perm("accounts.view_apikey")
        context = {
            **self.context(form),
            "title": "API key issued" if isinstance(issued, IssuedKey) else "This form has issued its key already",
            "customer": self.customer(),
            "api_key": api_key,
            "raw": issued.raw if isinstance(issued, IssuedKey) else None,
            "key_url": page_url("accounts_apikey", api_key.pk) if may_see_keys else None,
        }
        return TemplateResponse(self.request, "admin/accounts/apikey/issued.html", context)


class IssueKey(CustomerAction[User], _Issue[User]):
    name, path = "issue_key", "issue-key"
    permission = "accounts.add_apikey"
    title = "Issue API key"

    @classmethod
    def label(cls, target: User) -> str:  # noqa: ARG003
        return cls.button

    def customer(self) -> User:
        return self.target

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return f"For programs of {self.target}. {_SHOWN_ONCE}"

    def take(self) -> HttpResponse:
        return super().take() if self.target.is_active else self.page(self.sent_form())

    def context(self, form: Any) -> dict[str, Any]:
        return {**super().context(form), "impossible": "" if self.target.is_active else _DEACTIVATED}


class IssueServiceKey(_Issue[ApiKey]):
    """Issue a key for one of the company's own services, without a customer; the target is the unsaved key."""

    permission = SERVICE_KEYS
    moves_money = True  # with it every customer can be charged
    title = "Issue service key"

    @classmethod
    def may_act_on(cls, viewer: Any, target: ApiKey) -> bool:  # noqa: ARG003
        return True

    def named(self) -> str:
        return ""

    def target_url(self) -> str:
        return list_url("accounts_apikey")

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return f"For a gateway or another service of your own, which acts for any customer. {_SHOWN_ONCE}"
