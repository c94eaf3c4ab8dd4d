"""The page of a person, as far as it is about who they are; usage/admin/customers.py adds the rest."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.db.models import Q, QuerySet
from django.forms import ModelForm
from django.http import HttpRequest

from accounts.admin.key_search import KeySearch, keys_named
from accounts.admin.touching import may_touch
from accounts.forms import NewPasswordForm, NewUserForm, UserForm
from accounts.models import ApiKey, User
from config.backoffice.dates import ByDate
from config.backoffice.filters import as_id
from config.backoffice.model_admin import BackOfficeAdmin

_PERSON = (None, {"fields": ("email", "full_name", "password")})
_TIMES = ("Times", {"fields": ("created_at", "last_login")})


class PersonAdmin(KeySearch, ByDate, BackOfficeAdmin, UserAdmin):  # type: ignore[type-arg]
    """People: found by whatever support is given; rights are a superuser's to give, money is nobody's to edit.

    Who may be changed by whom is `may_touch`'s to say: nobody changes their own account here.
    """

    form = UserForm
    add_form = NewUserForm
    change_password_form = NewPasswordForm
    add_fieldsets = (
        (None, {"classes": ("wide",), "fields": ("email", "full_name", "usable_password", "password1", "password2")}),
    )
    list_display: Any = ("email", "full_name", "active", "staff", "created")
    list_filter = ("is_active", "is_staff", "groups")
    date_hierarchy = "created_at"
    sortable_by = ("email",)
    ordering = ("-id",)
    search_fields = ("email", "full_name")
    search_help_text = "Part of an email or name; an id; an API key's prefix, or the whole key."
    filter_horizontal = ("groups",)

    @admin.display(description="active", boolean=True)
    def active(self, person: User) -> bool:
        return person.is_active

    @admin.display(description="staff", boolean=True)
    def staff(self, person: User) -> bool:
        return person.is_staff

    @admin.display(description="created")
    def created(self, person: User) -> str:
        return f"{person.created_at:%Y-%m-%d}"

    def has_delete_permission(self, request: HttpRequest, obj: User | None = None) -> bool:  # noqa: ARG002
        """Refuse: a person's history is kept for ever, and whoever leaves is deactivated."""
        return False

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        if obj is not None and not may_touch(request.user, obj):
            return False
        return super().has_change_permission(request, obj)

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:  # noqa: ARG002
        if obj is None:
            return self.add_fieldsets
        access = ("is_active", "is_staff", "is_superuser", "groups", "rate_limit_per_minute")
        return (_PERSON, ("Access", {"fields": access}), _TIMES)

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> tuple[str, ...]:  # noqa: ARG002
        """Leave rights out of the form of all but superusers: what a form lacks no crafted POST can set."""
        rights = () if request.user.is_superuser else ("is_staff", "is_superuser", "groups")
        return ("created_at", "last_login", *rights)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[User], search_term: str
    ) -> tuple[QuerySet[User], bool]:
        term = search_term.strip()
        keys = keys_named(term)
        named = as_id(term)
        also = Q() if named is None else Q(pk=named)
        if keys is not None:
            also |= Q(pk__in=ApiKey.objects.filter(keys).values("user_id"))
        found, may_have_duplicates = super().get_search_results(request, queryset, search_term)
        return (found | queryset.filter(also) if also else found), may_have_duplicates

    def save_model(self, request: HttpRequest, obj: User, form: ModelForm[User], change: bool) -> None:  # noqa: FBT001
        """Save a changed person's changed fields only: the password, say, may have been changed meanwhile."""
        if not change:
            super().save_model(request, obj, form, change)
            return
        columns = {field.name for field in obj._meta.concrete_fields}
        obj.save(update_fields=[name for name in form.changed_data if name in columns])
