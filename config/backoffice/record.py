"""Who acts, and the record of what they did: Django's own, which each object's history page shows."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest


def actor_id(request: HttpRequest) -> int:
    """Name the person who acts.

    :raises PermissionDenied: if nobody has signed in
    """
    if request.user.pk is None:
        raise PermissionDenied
    return int(request.user.pk)


def record_change(request: HttpRequest, changed: Sequence[Model], message: str) -> None:
    """Note one line for each changed object."""
    if changed:
        LogEntry.objects.log_actions(actor_id(request), changed, CHANGE, change_message=message)
