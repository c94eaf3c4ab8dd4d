"""Recording: requests that already happened are logged and counted in batches, and charged on request."""

from __future__ import annotations

import json
from collections.abc import Sequence
from decimal import Decimal
from typing import NamedTuple

from psycopg.types.json import Jsonb

from config.db.calls import call
from config.values.paths import endpoint_as_stored
from usage.services.imports.reported import ReportedRequest
from usage.services.partitions import with_partition


class Line(NamedTuple):
    """One reported request and the key that identifies its line (SHA-256)."""

    key: bytes
    request: ReportedRequest
    api_key_id: int | None = None


class Recorded(NamedTuple):
    """The result of a batch. `rejected` are places in the batch without a price; `credits` were debited.

    `uncharged` are duplicates that an earlier call recorded without `charge`, though they have a price: they stay free.
    """

    accepted: int
    duplicates: int
    rejected: list[int]
    unpaid: int
    credits: Decimal
    uncharged: int = 0
    uncharged_credits: Decimal = Decimal(0)


def record_lines(*, user_id: int, source: str, lines: Sequence[Line], charge: bool) -> Recorded:
    """Log one customer's requests; with `charge`, debit them with one entry for the batch.

    Requests that the available credits do not cover are logged as unpaid. Repetition adds nothing: lines that are
    recorded already count as duplicates.
    """
    rows = [
        {
            "n": n,
            "key": line.key.hex(),
            "path": endpoint_as_stored(line.request.path),
            "method": line.request.method,
            "status": line.request.status,
            "units": str(line.request.units),
            "latency_ms": line.request.latency_ms,
            "api_key_id": line.api_key_id,
            "reference": line.request.reference,
            "occurred_at": line.request.occurred_at.isoformat(),
        }
        for n, line in enumerate(lines)
    ]
    answered = with_partition(
        {line.request.occurred_at for line in lines},
        lambda: call(
            "usage_record_lines",
            p_user_id=user_id,
            p_source=source,
            p_charge=charge,
            p_rows=Jsonb(rows),
        ),
    )[0]
    answer = json.loads(answered, parse_float=Decimal)
    return Recorded(
        answer["accepted"],
        answer["duplicates"],
        answer["rejected"],
        answer["unpaid"],
        Decimal(answer["credits"]),
        answer["uncharged"],
        Decimal(answer["uncharged_credits"]),
    )
