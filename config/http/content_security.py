"""The Content-Security-Policy: strict for pages, and nothing at all for data."""

from __future__ import annotations

from csp.middleware import CSPMiddleware, PolicyParts
from django.http import HttpRequest
from django.http.response import HttpResponseBase

_FOR_DATA = {"default-src": ["'none'"], "frame-ancestors": ["'none'"]}


class ContentSecurityMiddleware(CSPMiddleware):
    """Gives HTML the policy of the settings; whatever else a browser shows by itself may load nothing."""

    def get_policy_parts(
        self,
        request: HttpRequest,
        response: HttpResponseBase,
        report_only: bool = False,  # noqa: FBT001, FBT002  as the library calls it
    ) -> PolicyParts:
        parts = super().get_policy_parts(request, response, report_only)
        is_page = response.headers.get("Content-Type", "").startswith("text/html")
        if not is_page and not report_only:
            parts.config = _FOR_DATA
        return parts
