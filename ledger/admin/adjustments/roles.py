"""The page of a role, with how much its members may adjust without a second person."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.contrib import admin
from django.contrib.auth.models import Group
from django.http import HttpRequest

from accounts.admin.people.roles import RoleAdmin, RoleForm
from config.backoffice.credits import CreditsField, shown
from ledger.models import AdjustmentLimit

admin.site.unregister(Group)
_BOTH = "Set both limits, or none: then the site's apply."


class LimitedRoleForm(RoleForm):
    """A role, and its limits of adjustments."""

    adjust_at_once = CreditsField(
        required=False,
        allow_zero=True,
        label="One adjustment",
        help_text="Credits that a member gives or takes at once without a second person. Empty: the site's limit.",
    )
    adjust_a_day = CreditsField(
        required=False,
        allow_zero=True,
        label="Adjustments a day",
        help_text="Credits that a member gives and takes on one UTC day, both counted. Of several roles the most"
        " generous applies.",
    )

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        limit = limit_of(self.instance)
        if limit is not None:
            self.initial.update(adjust_at_once=limit.single, adjust_a_day=limit.daily)

    def clean(self) -> dict[str, Any] | None:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        if (cleaned.get("adjust_at_once") is None) != (cleaned.get("adjust_a_day") is None) and not self.errors:
            self.add_error("adjust_a_day", _BOTH)
        return cleaned


@admin.register(Group)
class LimitedRoleAdmin(RoleAdmin):
    """Roles with their limits; the staff log tells who changed them, from what to what."""

    form = LimitedRoleForm
    fieldsets = (
        (None, {"fields": ("name",)}),
        ("Adjustments without a second person", {"fields": ("adjust_at_once", "adjust_a_day")}),
        ("Permissions", {"fields": ("permissions",)}),
    )

    @admin.display(description="one adjustment")
    def adjust_at_once(self, group: Group) -> str:
        limit = limit_of(group)
        return shown(None if limit is None else limit.single)

    @admin.display(description="adjustments a day")
    def adjust_a_day(self, group: Group) -> str:
        limit = limit_of(group)
        return shown(None if limit is None else limit.daily)

    def save_model(self, request: HttpRequest, obj: Group, form: Any, change: bool) -> None:  # noqa: FBT001
        super().save_model(request, obj, form, change)
        single: Decimal | None = form.cleaned_data["adjust_at_once"]
        daily: Decimal | None = form.cleaned_data["adjust_a_day"]
        if single is None or daily is None:
            AdjustmentLimit.objects.filter(group=obj).delete()
        else:
            AdjustmentLimit.objects.update_or_create(group=obj, defaults={"single": single, "daily": daily})


def limit_of(group: Group) -> AdjustmentLimit | None:
    return None if group.pk is None else AdjustmentLimit.objects.filter(group=group).first()
