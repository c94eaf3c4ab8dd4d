"""Which paths belong to the API: there, errors are JSON and bodies are small."""

from __future__ import annotations

from django.conf import settings

_BUSY_PATHS = ("/v2/", "/auth/", "/api/")  # checked first, for speed only
_HTML_PATHS = ("/admin", "/account", "/docs", "/reset-password")


def is_api_path(path: str) -> bool:
    """Return whether errors on this path are JSON: on all but pages and files for browsers."""
    if path.startswith(_BUSY_PATHS):
        return True
    static = "/" + settings.STATIC_URL.lstrip("/")
    return (
        path != "/"
        and not path.startswith(static)
        and not any(path == page or path.startswith(f"{page}/") for page in _HTML_PATHS)
    )
