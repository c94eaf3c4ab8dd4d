"""What the staff log of the demo company tells: sign-ins, looks, a search by key, an export, a changed plan."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any

from django.contrib.admin.models import CHANGE
from django.contrib.contenttypes.models import ContentType

from accounts.models import Plan, User
from config.models import RecordKind, StaffRecord
from ledger.models import Entry

_REQUEST = "demo-staff-log-"


def seed_staff_log(people: Mapping[str, User], *, staff: Sequence[User], now: dt.datetime) -> None:
    """Write the records as pages would, the oldest first; a second run does nothing more."""
    if StaffRecord.objects.filter(request_id__startswith=_REQUEST).exists():
        return
    _, support, finance, operations, auditor = staff
    alice, entry, plan = people["alice"], Entry(), Plan.objects.order_by("pk").first()
    told: list[tuple[User, RecordKind, Any, str, list[dict[str, str | None]]]] = [
        (support, RecordKind.SIGN_IN, None, "Signed in by password, second factor.", []),
        (support, RecordKind.VIEW, alice, "Opened the page.", []),
        (operations, RecordKind.SIGN_IN, None, "Signed in by single sign-on, second factor.", []),
        (operations, RecordKind.SEARCH, None, "Searched by the API key tb_live_Dm3kPq7RsT2v…; found 0.", []),
        (finance, RecordKind.EXPORT, entry, f"Exported 42 rows as CSV, narrowed by user={alice.pk}.", []),
        (auditor, RecordKind.EXPORT, alice, f"Downloaded statement-{alice.pk}-{now:%Y-%m}.pdf.", []),
    ]
    if plan is not None:
        change = [{"name": "Rollover cap", "before": None, "after": "5000"}]
        told.append((finance, RecordKind.CHANGE, plan, '[{"changed": {"fields": ["Rollover cap"]}}]', change))
    StaffRecord.objects.bulk_create(
        _record(number, *each, at=now - dt.timedelta(minutes=17 * (len(told) - number)))
        for number, each in enumerate(told)
    )


def _record(
    number: int, actor: User, kind: RecordKind, subject: Any, message: str, details: list[Any], *, at: dt.datetime
) -> StaffRecord:
    is_list = subject is not None and subject.pk is None
    name = str(subject._meta.verbose_name_plural) if is_list else str(subject or actor)
    return StaffRecord(
        action_time=at,
        user=actor,
        kind=kind,
        content_type=None if subject is None else ContentType.objects.get_for_model(subject),
        object_id=None if subject is None or is_list else str(subject.pk),
        object_repr=name,
        customer=subject if isinstance(subject, User) else None,
        action_flag=CHANGE,
        change_message=message,
        details=details,
        roles=", ".join(actor.groups.values_list("name", flat=True)),
        address="192.0.2.17",
        request_id=f"{_REQUEST}{number}",
    )
