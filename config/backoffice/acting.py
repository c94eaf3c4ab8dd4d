"""Pages of staff actions, below the page of the object that they act on."""

from __future__ import annotations

from typing import Any, ClassVar

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.urls import URLPattern, path

from config.backoffice.links import name_of
from config.backoffice.model_admin import ModelAdmin
from config.backoffice.staff_action import StaffAction, links_to


class Acting(ModelAdmin):
    """Add a page for each of `staff_actions`, and a link to it on the object's page."""

    staff_actions: ClassVar[tuple[type[StaffAction[Any]], ...]] = ()

    def get_urls(self) -> list[URLPattern]:
        return [*map(self._path_of, self.staff_actions), *super().get_urls()]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **named: Any
    ) -> HttpResponse:
        original = context.get("original")
        if original is not None and "staff_actions" not in context:
            context["staff_actions"] = links_to(self.staff_actions, request.user, original)
        return super().render_change_form(request, context, *args, **named)

    def _path_of(self, action: type[StaffAction[Any]]) -> URLPattern:
        def answer(request: HttpRequest, object_id: str) -> HttpResponse:
            if action.needs_view and not self.has_view_permission(request):
                raise PermissionDenied
            return action.view(request, target=self.get_object(request, object_id), site=self.admin_site)

        name = f"{name_of(self.model)}_{action.name}"
        return path(f"<str:object_id>/{action.path}/", self.admin_site.admin_view(answer), name=name)
