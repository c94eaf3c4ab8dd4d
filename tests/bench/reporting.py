"""Events of one customer, a thousand at a time, against COPY of the same rows into a table like the log."""

from __future__ import annotations

import datetime as dt
import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

from django.db import connection
from django.utils import timezone

from usage.services.events import Event, record_events

CUSTOMER = 2
BATCH = 1_000
_COPY = """COPY copy_log (user_id, endpoint, path, method, status, units, credits, price_id, entry_id, latency_ms,
    reference, source, occurred_at) FROM STDIN"""


def events_a_second(seconds: float) -> float:
    """Report batches of new events for this long: deduplicated, priced, debited, logged and counted."""

    def report(events: list[Event]) -> None:
        results = record_events(events, now=timezone.now())
        if any(result.status != "accepted" or result.code for result in results):
            raise RuntimeError("an event was not accepted")

    return _rows_a_second(report, lambda: list(_events()), seconds)


def copied_a_second(seconds: float) -> float:
    """Copy batches of the rows that such events become in the log, written out beforehand."""

    def copy(rows: bytes) -> None:
        with connection.cursor() as cursor, cursor.copy(_COPY) as writing:
            writing.write(rows)

    return _rows_a_second(copy, lambda: "".join(map(_row_of, _events())).encode(), seconds)


def _events() -> Iterator[Event]:
    now = timezone.now()
    for n in range(BATCH):
        yield Event(
            id=str(uuid.uuid4()),
            source="bench",
            subject=str(CUSTOMER),
            endpoint="translate",
            time=now - dt.timedelta(milliseconds=n),
            method="POST",
            latency_ms=12,
        )


def _row_of(event: Event) -> str:
    values = (
        CUSTOMER, event.endpoint, event.endpoint, event.method, event.status, event.units, 1, 1, 1, event.latency_ms,
        event.id, event.source, event.time,
    )  # fmt: skip
    return "\t".join(map(str, values)) + "\n"


def _rows_a_second(write: Callable[[Any], None], make: Callable[[], Any], seconds: float) -> float:
    """Write batches for this long, in a transaction each; the time to build them is not counted."""
    for _ in range(7):  # connect, prepare, warm up: PL/pgSQL settles on its plans at the sixth time
        write(make())
    took, batches = 0.0, 0
    while took < seconds:
        batch = make()
        began = time.perf_counter()
        write(batch)
        took += time.perf_counter() - began
        batches += 1
    return batches * BATCH / took
