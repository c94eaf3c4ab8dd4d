"""The frame of the pages below /account/: the back office's. The customers' portal will choose its own here."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

ACCOUNT_PATH = "/account/"


def frame(request: HttpRequest) -> dict[str, Any]:
    """Return what the frame shows: the site's name, and for staff the links to their pages."""
    if not request.path.startswith(ACCOUNT_PATH):
        return {}
    site = admin.site
    return {
        "site_header": site.site_header,
        "site_title": site.site_title,
        "site_url": site.site_url,
        "has_permission": hasattr(request, "user") and site.has_permission(request),
        "is_nav_sidebar_enabled": False,
        "is_popup": False,
    }
