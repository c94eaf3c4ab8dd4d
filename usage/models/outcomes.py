"""The outcome of a request, by its HTTP status: defined here for Python, and by `usage_is_rejected` in SQL."""

from __future__ import annotations

from django.db import models

REJECTED_STATUSES = (401, 402, 429)
"""Refused before any work was done: such requests cost nothing, and count in no statistics."""

IS_REJECTED = f"status IN {REJECTED_STATUSES}"
"""The same as a condition in SQL on the request log, in which its indexes and statistics are of use."""

HAS_FAILED = f"status >= 400 AND status NOT IN {REJECTED_STATUSES}"


class Outcome(models.TextChoices):
    """The outcome of a request."""

    SUCCESSFUL = "successful", "Successful"
    FAILED = "failed", "Failed"
    REJECTED = "rejected", "Rejected before any work"


def is_rejected(status: int) -> bool:
    """Return whether a request was refused before any work."""
    return status in REJECTED_STATUSES


def outcome_of(status: int) -> Outcome:
    """Return the outcome of a request by its HTTP status."""
    if status < 400:
        return Outcome.SUCCESSFUL
    return Outcome.REJECTED if is_rejected(status) else Outcome.FAILED
