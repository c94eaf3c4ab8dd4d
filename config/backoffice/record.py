"""The acting member of staff, and the staff log: Django's own, which each object's history page shows."""

from __future__ import annotations

from collections.abc import Sequence

from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import Model
from django.http import HttpRequest


def actor_id(request: HttpRequest) -> int:
    """Return the id of the person who acts.

    :raises PermissionDenied: if no person has signed in
    """
    if request.user.pk is None:
        raise PermissionDenied
    return int(request.user.pk)


def record_change(request: HttpRequest, changed: Sequence[Model], message: str) -> None:
    """Write one line for each changed object."""
    if changed:
        LogEntry.objects.log_actions(actor_id(request), changed, CHANGE, change_message=message)


def record_export(request: HttpRequest, model: type[Model], *, rows: int, file_format: str) -> None:
    """Write who exported how many rows with which filters; the search term is left out."""
    narrowed = "&".join(f"{name}={value}" for name, value in request.GET.items() if name != SEARCH_VAR)
    searched = "a search" if request.GET.get(SEARCH_VAR) else ""
    by = ", ".join(filter(None, (searched, narrowed))) or "nothing"
    LogEntry.objects.create(
        user_id=actor_id(request),
        content_type=ContentType.objects.get_for_model(model),
        object_repr=str(model._meta.verbose_name_plural),
        action_flag=CHANGE,
        change_message=f"Exported {rows} rows as {file_format.upper()}, narrowed by {by}.",
    )


def record_search(request: HttpRequest, public: str, *, found: int) -> None:
    """Write who searched by an API key: its public part only, and how much was found."""
    LogEntry.objects.create(
        user_id=actor_id(request),
        object_repr="API keys",
        action_flag=CHANGE,
        change_message=f"Searched by the API key {public}; found {found}.",
    )
