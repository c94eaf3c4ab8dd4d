"""The requests that a debit paid for, while the log has them, and their number for ever."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from config.db.statements import Statement
from ledger.models import Entry
from ledger.selectors import our_metadata
from usage.models import Price, RequestLog

SHOWN = 20
"""How many requests of an entry are shown."""
MOST_READ = 5_000
"""The largest batch that is read in full, for its first and last request: as large as imports record them."""
_ONE_REQUEST = frozenset({"charge", "capture_hold"})
_SEVERAL = frozenset({"record_lines", "record_events"})
# Other customers' requests, recorded meanwhile, have ids between those of a batch.
_IDS_BETWEEN, _IDS_EACH = 10_000, 4

# Ids of entries and requests are one sequence (docs/decisions/0023), and a batch is recorded under the lock of its
# customer's balance. So the reported requests that follow its entry are its own, as many as the entry says; those that
# follow a month that was dropped are told apart by the time at which they were recorded. Read in the order of ids,
# whatever the planner expects of the customer, and no further than needed.
_BATCH = Statement.named("""
    WITH near AS MATERIALIZED (
        SELECT * FROM (
            SELECT id, user_id, occurred_at, entry_id, recorded_at, price_id, units, credits, source
            FROM usage_requestlog WHERE id > %(entry)s AND id <= %(last)s ORDER BY id OFFSET 0
        ) log WHERE user_id = %(user)s AND source <> '' LIMIT %(most)s
    )
    SELECT id, occurred_at, price_id, units, credits FROM near
    WHERE recorded_at = (SELECT min(recorded_at) FROM near WHERE entry_id = %(entry)s)
    ORDER BY id
""")


class _Logged(NamedTuple):
    id: int
    occurred_at: dt.datetime
    price_id: int | None
    units: Decimal
    credits: Decimal


@dataclass(frozen=True)
class EntryRequests:
    """The requests that a debit paid for: their number, the times of the first and last, and the first SHOWN.

    The times are None if the log no longer has all of a batch, or a batch is larger than MOST_READ. `price` is the
    version that all of them paid, `units` what they used of it in all.
    """

    count: int
    first_at: dt.datetime | None
    last_at: dt.datetime | None
    items: Sequence[RequestLog]
    price: Price | None = None
    units: Decimal | None = None


def requests_of(entry: Entry) -> EntryRequests | None:
    """Return the requests that an entry paid for; None if it is about none."""
    if entry.operation in _ONE_REQUEST:
        return _single(entry)
    return _batch(entry) if entry.operation in _SEVERAL else None


def _single(entry: Entry) -> EntryRequests:
    charge_id = our_metadata(entry, "charge_id") or entry.pk
    log = _shown(entry, [(int(charge_id), entry.created_at)])
    if log:
        price, units = log[0].price, log[0].units
    else:
        price, units = _price_in_force(entry), None
    return EntryRequests(1, entry.created_at, entry.created_at, log, price, units)


def _batch(entry: Entry) -> EntryRequests:
    count = int(entry.metadata["requests"])
    asked: dict[str, Any] = {
        "entry": entry.pk,
        "last": entry.pk + _IDS_BETWEEN + _IDS_EACH * min(count, MOST_READ),
        "user": entry.user_id,
        "most": count if count <= MOST_READ else SHOWN,
    }
    logged = [_Logged(*row) for row in _BATCH.read_planned(asked)]
    items = _shown(entry, [(each.id, each.occurred_at) for each in logged[:SHOWN]])
    if len(logged) < count:
        return EntryRequests(count, None, None, items)
    times = [each.occurred_at for each in logged]
    paid = [each for each in logged if each.credits]
    price_ids = [*{each.price_id for each in paid if each.price_id is not None}]
    price = Price.objects.filter(pk=price_ids[0]).first() if len(price_ids) == 1 else None
    units = sum((each.units for each in paid), Decimal(0))
    return EntryRequests(count, min(times), max(times), items, price, units)


def _shown(entry: Entry, places: Sequence[tuple[int, dt.datetime]]) -> list[RequestLog]:
    """Return these requests of the entry's customer, each found by its id and time."""
    if not places:
        return []
    ids, times = zip(*places, strict=True)
    logged = RequestLog.objects.filter(pk__in=ids, occurred_at__in=set(times), user_id=entry.user_id)
    found = {log.pk: log for log in logged.select_related("price", "api_key")}
    return [found[pk] for pk in ids if pk in found]


def _price_in_force(entry: Entry) -> Price | None:
    """Return the version that an endpoint had when the entry was made, if it is certain without the log."""
    versions = Price.objects.filter(endpoint=entry.description)
    methods = list(versions.order_by("method").values_list("method", flat=True).distinct()[:2])
    if len(methods) != 1:
        return None
    return versions.filter(effective_from__lte=entry.created_at).order_by("-effective_from").first()
