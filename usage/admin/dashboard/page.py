"""The front page of the back office: what waits for staff, then the figures that this member of staff may list."""

from __future__ import annotations

from typing import Any, cast

from django.contrib import admin
from django.http import HttpRequest
from django.utils import timezone

from config.backoffice.site import BackOfficeSite
from config.backoffice.to_do import lines_for, to_dos
from usage.admin.dashboard.charts import charts_for
from usage.admin.dashboard.figures import comparison_for, freshness_of, last_run_for, tiles_for
from usage.admin.dashboard.leaders import leaders_for
from usage.services.figures.reading import company_figures


def front_page(request: HttpRequest) -> dict[str, Any]:
    """Return what the front page shows to this member of staff."""
    viewer, now = request.user, timezone.now()
    figures = company_figures(now=now)
    return {
        "to_do": lines_for(viewer, now=now),
        "may_have_to_do": any(viewer.has_perm(to_do.permission) for to_do in to_dos),
        "tiles": tiles_for(viewer, figures),
        "last_run": last_run_for(viewer),
        "months": comparison_for(viewer, figures),
        "charts": charts_for(viewer, figures),
        "leaders": leaders_for(viewer, figures),
        "freshness": freshness_of(figures, now),
    }


cast(BackOfficeSite, admin.site).front_page = front_page
