"""The size limit of a body, which depends on the path only and is checked before authentication."""

from __future__ import annotations

from django.conf import settings

from config.http.api_paths import is_api_path

# In the environ of a call whose body our server did not read completely: the status of the response.
REFUSED_BODY = "tollbook.refused_body"

_EVENTS_PATHS = frozenset({"/v2/events", "/api/v1/events"})


def body_limit(path: str) -> int:
    """Return the most bytes that a body on this path may have, as it is sent."""
    limit: int
    if path in _EVENTS_PATHS:
        limit = settings.EVENTS_BODY_BYTES
    elif is_api_path(path):
        limit = settings.JSON_BODY_BYTES
    else:
        limit = settings.DATA_UPLOAD_MAX_MEMORY_SIZE
    return limit


def too_large(limit: int) -> str:
    """Return the sentence of every 413."""
    return f"The body must not be larger than {limit} bytes."
