"""The page of a person: identity and sign-in. usage/admin/customer/admin.py adds credits and usage."""

from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.core.exceptions import PermissionDenied
from django.db.models import Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from accounts.admin.access import may_act_on
from accounts.admin.keys.search import KeySearch, keys_with_prefix
from accounts.admin.people.resetting import SendResetLink
from accounts.admin.people.second_factor import ResetSecondFactor, StaffWithoutSecondFactor
from accounts.admin.people.verifying import VerifyEmail
from accounts.forms import NewPasswordForm, NewUserForm, UserForm
from accounts.models import ApiKey, User
from accounts.services.people import change_email
from accounts.services.signing_in.second_factors import second_factors_in_words
from config.backoffice.acting import Acting
from config.backoffice.dates import ByDate
from config.backoffice.filters import as_id
from config.backoffice.model_admin import BackOfficeAdmin
from config.backoffice.recent_sign_in import NeedsRecentSignIn
from config.backoffice.staff_action import StaffAction
from config.http.sign_in_records import require_recent_sign_in

_TIMES = ("Times", {"fields": ("created_at", "last_login", "email_verified_at")})
CHANGING_EMAILS, SETTING_PASSWORDS = "accounts.change_email", "accounts.set_password"


class PersonAdmin(NeedsRecentSignIn, Acting, KeySearch, ByDate, BackOfficeAdmin, UserAdmin):  # type: ignore[type-arg]
    """People, found by email, name, id or key. Only superusers grant rights; credits cannot be edited here.

    `may_act_on` decides who may change whom: staff cannot change their own account here.
    """

    staff_actions: ClassVar[tuple[type[StaffAction[Any]], ...]] = (SendResetLink, VerifyEmail, ResetSecondFactor)
    form = UserForm
    add_form = NewUserForm
    change_password_form = NewPasswordForm
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("email", "full_name", "usable_password", "password1", "password2")}),
    )
    list_display: Any = ("email", "full_name", "active", "staff", "created")
    list_filter = ("is_active", "is_staff", StaffWithoutSecondFactor, "groups")
    date_hierarchy = "created_at"
    sortable_by = ("email",)
    ordering = ("-id",)
    search_fields = ("email", "full_name")
    filter_horizontal = ()
    search_help_text = "Part of an email or name; an id; an API key's prefix, or the whole key."

    @admin.display(description="active", boolean=True)
    def active(self, person: User) -> bool:
        return person.is_active

    @admin.display(description="staff", boolean=True)
    def staff(self, person: User) -> bool:
        return person.is_staff

    @admin.display(description="created")
    def created(self, person: User) -> str:
        return f"{person.created_at:%Y-%m-%d}"

    @admin.display(description="second factor")
    def second_factor(self, person: User) -> str:
        return second_factors_in_words(person)

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:  # noqa: ARG002
        """Return False: history is kept, so people who leave are deactivated and not deleted."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if obj is not None and not may_act_on(request.user, obj):
            return False
        return super().has_change_permission(request, obj)

    def changes_rights(self, request: HttpRequest) -> bool:
        return request.user.is_superuser or request.user.has_perm(CHANGING_EMAILS)

    def user_change_password(self, request: HttpRequest, id: str, form_url: str = "") -> HttpResponse:
        """Set a person's password; this needs its own permission besides that of changing people."""
        if not request.user.has_perm(SETTING_PASSWORDS):
            raise PermissionDenied
        if request.method == "POST":
            require_recent_sign_in(request, has_secrets=True)
        return super().user_change_password(request, id, form_url)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        if obj is None:
            return self.add_fieldsets
        factor = ("second_factor",) if obj.is_staff and request.user.is_superuser else ()
        access = ("is_active", "is_staff", "is_superuser", "groups", *factor, "rate_limit_per_minute")
        password = ("password",) if request.user.has_perm(SETTING_PASSWORDS) else ()
        person = (None, {"fields": ("email", "full_name", *password)})
        return (person, ("Access", {"fields": access}), _TIMES)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:
        """Return the fields that the viewer may not change; a crafted POST cannot set a read-only field.

        Setting an email or a password allows signing in as its owner: each needs its own permission, besides that of
        changing people. Rights are for superusers.
        """
        rights = () if request.user.is_superuser else ("is_staff", "is_superuser", "groups")
        email = () if obj is None or request.user.has_perm(CHANGING_EMAILS) else ("email",)
        return ("created_at", "last_login", "email_verified_at", "second_factor", *rights, *email)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        term = search_term.strip()
        keys = keys_with_prefix(term)
        named = as_id(term)
        also = Q() if named is None else Q(pk=named)
        if keys is not None:
            also |= Q(pk__in=ApiKey.objects.filter(keys).values("user_id"))
        found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        return (found | queryset.filter(also) if also else found), may_have_duplicates

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:  # noqa: FBT001
        """Save only the changed fields: others, such as the password, may have changed concurrently."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        columns = {field.name for field in obj._meta.concrete_fields}
        if "email" in form.changed_data:
            change_email(user=obj, email=obj.email, now=timezone.now())
        obj.save(update_fields=[name for name in form.changed_data if name in columns and name != "email"])
