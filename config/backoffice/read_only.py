"""Read-only pages: facts that services write, and rows of which every change is a new row."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from config.backoffice.model_admin import BackOfficeAdmin


class ReadOnlyAdmin(BackOfficeAdmin):
    """View only: adding, changing and deleting are refused to everyone, including superusers."""

    actions_on_top = True
    sortable_by = ()

    def has_add_permission(self, request: HttpRequest) -> bool:  # noqa: ARG002
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:  # noqa: ARG002
        return False
