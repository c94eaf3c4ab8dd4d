"""The staff log: who saw and changed what, when, from where, in which role. Everything that staff do is written here.

The table is Django's own log of its admin, with columns of ours (docs/decisions/0048). It is append-only for everybody.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any

from django.contrib.admin.models import ADDITION, CHANGE, DELETION
from django.contrib.admin.views.main import SEARCH_VAR
from django.contrib.auth import get_user_model
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import Model
from django.http import HttpRequest

from config.backoffice.before_and_after import Detail, facts, replaced
from config.http.client_address import UNKNOWN, client_address
from config.models import RecordKind, StaffRecord

_FLAGS = {RecordKind.ADD: ADDITION, RecordKind.DELETE: DELETION}
_LONGEST_NAME = 200
ONE_LOOK = dt.timedelta(minutes=10)
"""Looks at a customer so soon after one's own last record about them are part of it, and not recorded again."""
_LOOKED_AT = 20  # of the latest records about a customer
# In one statement, since it is part of a page that has others to make.
_LOOK = """
    INSERT INTO django_admin_log (
        action_time, user_id, kind, content_type_id, object_id, object_repr, customer_id, action_flag, change_message,
        roles, address, request_id)
    SELECT %(now)s, %(actor)s, %(kind)s, %(content_type)s, %(object_id)s, %(object_repr)s, %(customer)s, %(flag)s,
        %(message)s, CASE WHEN %(is_superuser)s THEN 'superuser' ELSE left((
            SELECT coalesce(string_agg(g.name, ', ' ORDER BY g.name), '')
            FROM {in_roles} held JOIN {roles} g ON g.id = held.group_id WHERE held.user_id = %(actor)s), 200) END,
        %(address)s::inet, %(request_id)s
    WHERE NOT EXISTS (
        SELECT FROM (
            SELECT user_id, action_time FROM django_admin_log WHERE customer_id = %(customer)s
            ORDER BY id DESC LIMIT %(looked_at)s
        ) latest WHERE user_id = %(actor)s AND action_time > %(since)s)
"""


def actor_id(request: HttpRequest) -> int:
    """Return the id of the person who acts.

    :raises PermissionDenied: if no person has signed in
    """
    if request.user.pk is None:
        raise PermissionDenied
    return int(request.user.pk)


def record_change(
    request: HttpRequest,
    changed: Sequence[Model],
    message: str,
    *,
    figures: Iterable[tuple[str, Any]] = (),
    changes: Iterable[tuple[str, Any, Any]] = (),
) -> None:
    """Write one line for each object that a named action changed.

    `figures` are names and values, `changes` names with the values before and after.
    """
    details = [*replaced(changes), *facts(figures)]
    _write(request, [_about(thing, RecordKind.ACTION, message, details) for thing in changed])


def record_form(
    request: HttpRequest, kind: RecordKind, things: Iterable[Model], message: str, details: list[Detail]
) -> None:
    """Write that a plain form added, changed or deleted objects, with the values before and after."""
    _write(request, [_about(thing, kind, message, details) for thing in things])


def record_export(
    request: HttpRequest, model: type[Model], *, rows: int, file_format: str, customer_id: int | None = None
) -> None:
    """Write who exported how many rows with which filters; the search term is left out."""
    narrowed = "&".join(f"{name}={value}" for name, value in request.GET.items() if name != SEARCH_VAR)
    searched = "a search" if request.GET.get(SEARCH_VAR) else ""
    by = ", ".join(filter(None, (searched, narrowed))) or "nothing"
    record = StaffRecord(
        kind=RecordKind.EXPORT,
        content_type=ContentType.objects.get_for_model(model),
        object_repr=str(model._meta.verbose_name_plural),
        customer_id=customer_id,
        change_message=f"Exported {rows} rows as {file_format.upper()}, narrowed by {by}.",
    )
    _write(request, [record])


def record_download(request: HttpRequest, subject: Model, message: str) -> None:
    """Write who downloaded a document about one object."""
    _write(request, [_about(subject, RecordKind.EXPORT, message, [])])


def record_search(request: HttpRequest, public: str, *, found: int) -> None:
    """Write who searched by an API key: its public part only, and how much was found."""
    record = StaffRecord(
        kind=RecordKind.SEARCH,
        object_repr="API keys",
        change_message=f"Searched by the API key {public}; found {found}.",
    )
    _write(request, [record])


def record_view(request: HttpRequest, seen: Model, message: str = "Opened the page.") -> None:
    """Write who looked at a customer's object, unless what they did last about this customer was just before."""
    record = _described(request, _about(seen, RecordKind.VIEW, message, []), roles="")
    groups: Any = get_user_model()._meta.get_field("groups")
    roles, in_roles = groups.related_model._meta.db_table, groups.remote_field.through._meta.db_table
    with connection.cursor() as cursor:
        cursor.execute(
            _LOOK.format(roles=roles, in_roles=in_roles),
            {
                "now": record.action_time,
                "since": record.action_time - ONE_LOOK,
                "actor": record.user_id,
                "is_superuser": request.user.is_superuser,
                "kind": record.kind,
                "content_type": record.content_type_id,
                "object_id": record.object_id,
                "object_repr": record.object_repr,
                "customer": record.customer_id,
                "flag": record.action_flag,
                "message": record.change_message,
                "address": record.address,
                "request_id": record.request_id,
                "looked_at": _LOOKED_AT,
            },
        )


def record_sign_in(request: HttpRequest, *, how: str) -> None:
    """Write that a member of staff has signed in, and by what."""
    staff: Any = request.user
    record = StaffRecord(
        kind=RecordKind.SIGN_IN, object_repr=str(staff)[:_LONGEST_NAME], change_message=f"Signed in by {how}."
    )
    _write(request, [record])


def roles_of(request: HttpRequest) -> str:
    """Return the names of the roles of the member of staff, read once a request."""
    if not hasattr(request, "staff_roles"):
        viewer: Any = request.user
        groups = () if viewer.is_superuser else viewer.groups.order_by("name").values_list("name", flat=True)
        roles = "superuser" if viewer.is_superuser else ", ".join(groups)
        request.staff_roles = roles[:_LONGEST_NAME]  # type: ignore[attr-defined]
    return str(request.staff_roles)  # type: ignore[attr-defined]


def _about(thing: Model, kind: RecordKind, message: str, details: list[Detail]) -> StaffRecord:
    return StaffRecord(
        kind=kind,
        content_type=ContentType.objects.get_for_model(thing, for_concrete_model=False),
        object_id=str(thing.pk),
        object_repr=str(thing)[:_LONGEST_NAME],
        customer_id=_customer_of(thing),
        change_message=message,
        details=details,
    )


def _customer_of(thing: Model) -> int | None:
    """Return whose account an object belongs to: its field `user`, or the person itself."""
    if isinstance(thing, get_user_model()):
        return thing.pk
    found = getattr(thing, "user_id", None)
    return None if found is None else int(found)


def _write(request: HttpRequest, records: list[StaffRecord]) -> None:
    roles = roles_of(request)
    StaffRecord.objects.bulk_create([_described(request, record, roles=roles) for record in records])


def _described(request: HttpRequest, record: StaffRecord, *, roles: str) -> StaffRecord:
    """Add who did it, and from where."""
    address = client_address(request)
    record.user_id = actor_id(request)
    record.action_flag = _FLAGS.get(RecordKind(record.kind), CHANGE)
    record.roles = roles
    record.address = None if address == UNKNOWN else address
    record.request_id = getattr(request, "request_id", "")
    return record
