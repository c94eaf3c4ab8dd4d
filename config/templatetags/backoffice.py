"""Tags of the back office's templates."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django import template

from config.backoffice.credits import shown, shown_signed
from config.backoffice.dates import links_by_date
from config.models import CHANGING_KINDS, StaffRecord

register = template.Library()
_RECENT = 10


@register.filter
def credits(amount: Decimal | None) -> str:
    """Show an amount of credits; a dash for None."""
    return shown(amount)


@register.filter
def signed_credits(amount: Decimal) -> str:
    """Show a change of credits with its sign."""
    return shown_signed(amount)


@register.inclusion_tag("admin/date_hierarchy.html")
def links_to_dates(changelist: Any) -> dict[str, Any]:
    """Show a list's links to years, months and days."""
    return links_by_date(changelist)


@register.inclusion_tag("admin/recent_records.html", takes_context=True)
def recent_records(context: Any) -> dict[str, Any]:
    """Show the latest changes that the viewer made, which the staff log has."""
    own = StaffRecord.objects.filter(user_id=context["user"].pk, kind__in=CHANGING_KINDS)
    return {"records": own.select_related("content_type").order_by("-pk")[:_RECENT]}
