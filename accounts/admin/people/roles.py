"""Groups of permissions: the roles of staff."""

from __future__ import annotations

from typing import Any, ClassVar

from django import forms
from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin  # importing it registers it, before it is replaced
from django.contrib.auth.models import Group
from django.http import HttpRequest

from config.backoffice.model_admin import BackOfficeAdmin
from config.backoffice.recent_sign_in import NeedsRecentSignIn

admin.site.unregister(Group)


class RoleForm(forms.ModelForm):  # type: ignore[type-arg]
    """A role's name and its permissions, each with a box of its own."""

    class Meta:
        model = Group
        fields = ("name", "permissions")
        widgets: ClassVar[dict[str, Any]] = {"permissions": forms.CheckboxSelectMultiple}


@admin.register(Group)
class RoleAdmin(NeedsRecentSignIn, BackOfficeAdmin, GroupAdmin):
    """Roles. Only superusers create and change them, since a role can include every permission."""

    form = RoleForm
    filter_horizontal = ()

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:  # noqa: ARG002
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:  # noqa: ARG002
        return request.user.is_superuser
