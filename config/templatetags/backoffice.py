"""Tags of the back office's templates."""

from __future__ import annotations

from typing import Any

from django import template

from config.backoffice.dates import links_by_date

register = template.Library()


@register.inclusion_tag("admin/date_hierarchy.html")
def links_to_dates(changelist: Any) -> dict[str, Any]:
    """Show a list's links to years, months and days."""
    return links_by_date(changelist)
