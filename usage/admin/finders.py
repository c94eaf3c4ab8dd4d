"""What the one search finds of the request log."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Sequence

from django.db import connection

from config.backoffice.credits import shown
from config.backoffice.exact_search import LATEST
from config.backoffice.search.finders import MOST_READ, Finder, Hit, Term, hit, register_finders
from config.backoffice.times import shown_at
from usage.models import RequestLog

# A request id of our own making begins with its time (UUIDv7): its request was logged soon after.
_BEFORE, _AFTER = dt.timedelta(minutes=1), dt.timedelta(minutes=5)
_VERSION_WITH_TIME = 7
_NAMED = "(reference = %(name)s OR request_id = %(uuid)s::uuid)"
_LATEST_OF_ALL = f"""
    SELECT id FROM usage_requestlog
    WHERE id > (SELECT max(id) FROM usage_requestlog) - %(latest)s AND {_NAMED} LIMIT %(most)s
"""
_LATEST_OF_SOME = f"""
    SELECT id FROM (
        SELECT id, reference, request_id FROM usage_requestlog WHERE user_id = ANY(%(users)s::bigint[])
        ORDER BY occurred_at DESC LIMIT %(latest)s
    ) latest WHERE {_NAMED} LIMIT %(most)s
"""


def find_requests(term: Term) -> Sequence[Hit]:
    """Find requests by id, which is their charge's, by request id or by reference."""
    wanted = set() if term.is_only_id else {*_latest(term), *_of_its_time(term)}
    if term.id is not None:
        wanted.add(term.id)
    found = RequestLog.objects.filter(pk__in=wanted).select_related("user").defer("metadata")
    if term.customers is not None:
        found = found.filter(user_id__in=term.customers)
    return [
        hit(
            request, f"Request {request.pk}", request.user, str(request), f"{shown(request.credits)} credits",
            shown_at(request.occurred_at), request.reference,
        )
        for request in (found.order_by("-pk")[:MOST_READ] if wanted else ())
    ]  # fmt: skip


def _latest(term: Term) -> list[int]:
    """Return the ids of the latest requests, of all customers or of some, that have this name."""
    query = _LATEST_OF_ALL if term.customers is None else _LATEST_OF_SOME
    with connection.cursor() as cursor:
        cursor.execute(
            query,
            {
                "name": term.text,
                "uuid": term.uuid,
                "users": None if term.customers is None else list(term.customers),
                "latest": LATEST,
                "most": MOST_READ,
            },
        )
        return [found for (found,) in cursor.fetchall()]


def _of_its_time(term: Term) -> list[int]:
    """Return the ids of requests with this request id that were logged when it was made."""
    at = None if term.uuid is None else _time_of(term.uuid)
    if at is None:
        return []
    found = RequestLog.objects.filter(
        occurred_at__gte=at - _BEFORE, occurred_at__lt=at + _AFTER, request_id=term.uuid
    ).order_by()
    return list(found.values_list("pk", flat=True)[:MOST_READ])


def _time_of(request_id: uuid.UUID) -> dt.datetime | None:
    """Return when a request id was made, if it tells; None for other UUIDs, and for times that no log can have."""
    if request_id.version != _VERSION_WITH_TIME:
        return None
    seconds = (request_id.int >> 80) / 1000
    at = dt.datetime.fromtimestamp(0, tz=dt.UTC) + dt.timedelta(seconds=min(seconds, _END_OF_LOGS))
    return at if at.timestamp() < _END_OF_LOGS else None


_END_OF_LOGS = dt.datetime(2101, 1, 1, tzinfo=dt.UTC).timestamp()

FINDERS = (
    Finder(
        kind="Requests",
        word="request",
        permission="usage.view_requestlog",
        find=find_requests,
        by="Id (the charge’s id), request id, reference.",
        limits=(
            "references, and request ids that callers chose themselves, before the latest 100,000 requests (of a"
            " customer whose email is given: before theirs); months of the log that were dropped."
        ),
    ),
)


register_finders(*FINDERS)
