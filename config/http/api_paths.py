"""Which paths are the API's: there, errors are JSON and bodies are small."""

from __future__ import annotations

from django.conf import settings

_BUSY_PATHS = ("/v2/", "/auth/", "/api/")  # asked about first, for speed alone
_HTML_PATHS = ("/admin", "/docs", "/reset-password")


def is_api_path(path: str) -> bool:
    """Tell whether errors on this path are JSON: everywhere but on pages and files for browsers."""
    if path.startswith(_BUSY_PATHS):
        return True
    static = "/" + settings.STATIC_URL.lstrip("/")
    return (
        path != "/"
        and not path.startswith(static)
        and not any(path == page or path.startswith(f"{page}/") for page in _HTML_PATHS)
    )
