"""Groups of permissions: the roles of staff."""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth.admin import GroupAdmin  # importing it registers it, before it is replaced
from django.contrib.auth.models import Group
from django.http import HttpRequest

from config.backoffice.model_admin import BackOfficeAdmin

admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(BackOfficeAdmin, GroupAdmin):
    """Roles. Only superusers create and change them, since a role can include every permission."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return request.user.is_superuser

    def has_change_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:  # noqa: ARG002
        return request.user.is_superuser

    def has_delete_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:  # noqa: ARG002
        return request.user.is_superuser
