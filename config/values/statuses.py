"""The default code and sentence of an error by its HTTP status, in responses and in the results of a batch."""

from __future__ import annotations

# Errors from outside any view: status → (code, sentence).
WORDS_BY_STATUS: dict[int, tuple[str, str]] = {
    400: ("bad_request", "The request is malformed."),
    401: ("not_authenticated", "Authentication credentials were not provided."),
    403: ("permission_denied", "You do not have permission to perform this action."),
    404: ("not_found", "Not found."),
    405: ("method_not_allowed", "This method is not allowed here."),
    408: ("body_too_late", "The request's body did not come in time."),
    413: ("body_too_large", "The request's body is too large."),
    415: ("unsupported_media_type", "This media type is not supported."),
    429: ("rate_limited", "Rate limit exceeded. Please try again later."),
    500: ("internal_error", "An internal error occurred."),
    503: ("unavailable", "The service is temporarily unavailable. Please try again."),
}
