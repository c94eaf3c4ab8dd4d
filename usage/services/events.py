"""Events: requests that already happened, reported by the services that served them, each counted once."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from time import monotonic
from typing import Any, Final

from accounts import key_format
from accounts.emails import canonical_email
from accounts.models import ApiKey, User
from config.db.arrays import plain_array, text_array
from config.db.calls import call
from config.db.failures import count_database_error, is_database_away
from config.db.prepared import read_prepared
from config.rounds import Round
from config.values.credits import LARGEST_ID
from config.values.paths import endpoint_as_stored, normal_endpoint
from config.values.statuses import WORDS_BY_STATUS
from usage.selectors import EARLIEST
from usage.services.partitions import with_partition

LATEST: Final = dt.timedelta(days=35)
LARGEST_BATCH: Final = 1_000
MOST_FAILING_SECONDS: Final = 30
"""How long failures may take in one call; beyond it the customers not tried yet are left to a repetition."""


@dataclass(frozen=True, slots=True)
class Event:
    """One request as it was reported; `subject` is the customer's id in digits, email, or a key of theirs."""

    id: str
    source: str
    subject: str
    endpoint: str
    time: dt.datetime | None = None
    method: str = ""
    status: int = 200
    units: Decimal = Decimal(1)
    latency_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """The result of one event: accepted, duplicate, or rejected; an accepted one may be `unpaid`."""

    status: str
    code: str | None = None
    detail: str | None = None


ACCEPTED = Result("accepted")
UNPAID = Result("accepted", "unpaid", "The available credits did not cover this request: it was logged as unpaid.")
DUPLICATE = Result("duplicate")
UNAVAILABLE = Result(
    "rejected", "unavailable", "This customer's events could not be recorded now. Send them again after some seconds."
)
INTERNAL_ERROR = Result("rejected", *WORDS_BY_STATUS[500])
UNRECORDED: Final = frozenset({UNAVAILABLE, INTERNAL_ERROR})
"""Valid events that no turn has recorded: sent again, they may be accepted."""


def rejected(code: str, detail: str) -> Result:
    return Result("rejected", code, detail)


def record_events(events: Sequence[Event], *, now: dt.datetime) -> list[Result]:
    """Log, price and debit requests that already happened, and return the result of each, in their order.

    Each customer's events are one batch: one debit, all or nothing. An event is identified by its source and id, for
    ever, whatever its time; so repeating a call, wholly or in part, adds nothing. A rejected one is not remembered.

    A database error for one customer does not affect the others: that customer's events are rejected as `unavailable`,
    or as `internal_error`, and may be sent again.

    :raises django.db.Error: if no customer's events could be recorded
    """
    results: dict[int, Result] = {}
    timely: list[int] = []
    for n, event in enumerate(events):
        late = _lateness(event, now)
        if late is None:
            timely.append(n)
        else:
            results[n] = late
    customers = _customers_named({events[n].subject for n in timely}, now)
    batches: dict[int, list[int]] = defaultdict(list)
    for n in timely:
        customer = customers[events[n].subject]
        if isinstance(customer, Result):
            results[n] = customer
        else:
            batches[customer[0]].append(n)
    named = {
        user_id: [(n, events[n], customers[events[n].subject][1]) for n in places]  # type: ignore[index]
        for user_id, places in batches.items()
    }
    results |= _recorded_in_turn(named, now)
    return [results[n] for n in range(len(events))]


Batch = Sequence[tuple[int, Event, int | None]]  # places in the call, and the key that named the customer


def _recorded_in_turn(batches: Mapping[int, Batch], now: dt.datetime) -> dict[int, Result]:
    """Record each customer's events in a turn of their own.

    :raises Exception: the first failure, if no other customer's events are recorded
    """
    results: dict[int, Result] = {}
    round_ = Round()
    failing_seconds = 0.0
    for user_id, batch in batches.items():
        recorded = dict.fromkeys((n for n, _, _ in batch), UNAVAILABLE)
        if failing_seconds < MOST_FAILING_SECONDS:
            began = monotonic()
            with round_.turn(user_id):
                recorded = _recorded(user_id, batch, now)
            if user_id in round_.failed:
                failing_seconds += monotonic() - began
                recorded = dict.fromkeys(recorded, _failure(round_.failed[user_id]))
        results |= recorded
    if round_.failed and UNRECORDED.issuperset(results.values()):
        raise next(iter(round_.failed.values()))
    return results


def _failure(error: Exception) -> Result:
    if not is_database_away(error):
        return INTERNAL_ERROR
    count_database_error(error)
    return UNAVAILABLE


def _lateness(event: Event, now: dt.datetime) -> Result | None:
    at = event.time or now
    if at < now - LATEST:
        return rejected("event_too_old", f"Events are taken up to {LATEST.days} days after their time.")
    if at > now + EARLIEST:
        return rejected("event_in_future", "The event's time lies more than 5 minutes ahead.")
    return None


Customer = tuple[int, int | None]  # the user's id, and that of the key that named them


def _customers_named(subjects: Collection[str], now: dt.datetime) -> dict[str, Customer | Result]:
    """Find the customer of each subject, with one query for each way of naming one."""
    unknown = rejected("customer_not_found", "There is no such customer.")
    found: dict[str, Customer | Result] = dict.fromkeys(subjects, unknown)
    by_id = {s: int(s) for s in subjects if s.isascii() and s.isdigit() and int(s[:20]) <= LARGEST_ID and len(s) < 20}
    by_email = {s: canonical_email(s).lower() for s in subjects if "@" in s}
    by_key = {s: key_format.hash_of(s) for s in subjects if key_format.is_well_formed(s)}
    if by_id:
        people = read_prepared("SELECT id, is_active FROM accounts_user WHERE id = ANY(%s)", [list(by_id.values())])
        _enter(found, by_id, {pk: (pk, active, None) for pk, active in people})
    if by_email:
        rows = User.objects.with_emails(set(by_email.values())).values_list("email", "pk", "is_active")
        _enter(found, by_email, {email.lower(): (pk, active, None) for email, pk, active in rows})
    if by_key:
        keys = ApiKey.objects.working(now).filter(key_hash__in=set(by_key.values()), user__isnull=False)
        rows_of_keys = keys.values_list("key_hash", "user_id", "user__is_active", "pk")
        _enter(found, by_key, {bytes(hash_): (pk, active, key) for hash_, pk, active, key in rows_of_keys})
        for subject in by_key:
            if found[subject] == unknown:
                found[subject] = rejected("customer_key_invalid", "The customer's API key is unknown or not live.")
    return found


def _enter(found: dict[str, Customer | Result], named: dict[str, Any], people: dict[Any, tuple[Any, ...]]) -> None:
    for subject, name in named.items():
        if name in people:
            user_id, is_active, key_id = people[name]
            inactive = rejected("customer_inactive", "This customer is deactivated.")
            found[subject] = (user_id, key_id) if is_active else inactive


def _recorded(user_id: int, batch: Batch, now: dt.datetime) -> dict[int, Result]:
    places, events, key_ids = zip(*batch, strict=True)
    times = [event.time or now for event in events]
    columns = {
        "p_keys": plain_array(map(_event_key, events)),
        "p_sources": text_array([event.source for event in events]),
        "p_references": text_array([event.id for event in events]),
        "p_paths": text_array([endpoint_as_stored(event.endpoint) for event in events]),
        "p_methods": text_array([event.method for event in events]),
        "p_statuses": plain_array([event.status for event in events]),
        "p_units": plain_array([event.units for event in events]),
        "p_latencies_ms": plain_array([event.latency_ms for event in events]),
        "p_api_key_ids": plain_array(key_ids),
        "p_times": plain_array([time.isoformat() for time in times]),
    }
    answered = with_partition(set(times), lambda: call("usage_record_events", p_user_id=user_id, **columns))[0]
    answer = json.loads(answered) if isinstance(answered, str) else answered
    results = dict.fromkeys(places, DUPLICATE)
    results |= {places[n - 1]: ACCEPTED for n in answer["accepted"]}
    results |= {places[n - 1]: UNPAID for n in answer["unpaid"]}
    for n in answer["rejected"]:
        endpoint = normal_endpoint(events[n - 1].endpoint)[:200]
        results[places[n - 1]] = rejected("price_unknown", f"No price names the endpoint {endpoint!r}.")
    return results


def _event_key(event: Event) -> str:
    return hashlib.sha256(f"{event.source}\0{event.id}".encode()).hexdigest()
