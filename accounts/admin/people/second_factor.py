"""The second factor of staff: nobody sees a page without one that is required, and superusers reset a lost one."""

from __future__ import annotations

from typing import Any, cast

from allauth.account.adapter import get_adapter
from django.conf import settings
from django.contrib import admin, messages
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.http import urlencode

from accounts.admin.accounts_action import AccountsAction
from accounts.admin.customer_action import CustomerAction
from accounts.models import User
from accounts.selectors import staff_without_second_factor
from accounts.services.signing_in.second_factors import has_second_factor, reset_second_factors
from config.backoffice.once_action import Effect
from config.backoffice.site import BackOfficeSite
from config.http.sign_in_records import used_second_factor


def lead_to_second_factor(request: HttpRequest) -> HttpResponse | None:
    """Return the way to enrol, or to give the second factor that there is; None if it was given, or is not needed.

    Who has one is asked for it at sign-in; a session that began before is asked here.
    """
    if not settings.STAFF_MFA_REQUIRED or used_second_factor(request):
        return None
    user = cast(User, request.user)
    if not has_second_factor(user):
        messages.warning(request, "Staff need a second factor: add one, then the back office opens.")
        return HttpResponseRedirect(reverse("mfa_index"))
    ways = [way["url"] for way in get_adapter().get_reauthentication_methods(user) if way["id"].startswith("mfa_")]
    return HttpResponseRedirect(f"{ways[0]}?{urlencode({'next': request.get_full_path()})}")


class ResetSecondFactor(CustomerAction[User], AccountsAction[User]):
    """Remove the second factors of somebody who has lost them; they enrol anew at the next sign-in."""

    name, path = "reset_second_factor", "reset-second-factor"
    permission = "accounts.reset_second_factor"
    moves_money = True  # it opens an account of staff to its password alone
    title = "Reset second factor"
    verb = "reset"

    @classmethod
    def applies_to(cls, target: User) -> bool:
        return target.is_staff and has_second_factor(target)

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return (
            f"{self.target} loses every authenticator app, passkey and recovery code, and every session ends. Until "
            "there is a new one the password alone signs in: make sure on another way that this person asks for it."
            "\n\nAn email tells them."
        )

    def apply(self, asked: dict[str, Any]) -> Effect:  # noqa: ARG002
        removed = reset_second_factors(user_id=self.target.pk, now=timezone.now())
        return Effect("Reset the second factor", [("Second factors", f"{removed} → none")])


class StaffWithoutSecondFactor(admin.SimpleListFilter):
    """Narrow the list of people to staff who have no second factor."""

    title, parameter_name = "second factor", "second_factor"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:  # noqa: ARG002
        return [("none", "Staff without one")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[User]) -> QuerySet[User]:  # noqa: ARG002
        return queryset if self.value() != "none" else queryset & staff_without_second_factor()


cast(BackOfficeSite, admin.site).instead_of_page = lead_to_second_factor
