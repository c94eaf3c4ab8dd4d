"""The two calls by which charges reach the database: one alone, and many of one customer together."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, NamedTuple, TypeVar

from django.utils import timezone
from psycopg.types.json import Jsonb

from config.db.calls import call, call_rows
from config.values.json import exact_json
from usage.services.counting import with_count
from usage.services.partitions import months_around, with_partition

T = TypeVar("T")


class AskedCharge(NamedTuple):
    """A charge as the database is asked for it; `fingerprint` is the SHA-256 of what the caller asked.

    What was admitted before does not count among the calls a minute of its key again.
    """

    user_id: int | None
    key_hash: bytes | None
    endpoint: str
    method: str
    status: int
    units: Decimal
    credits: Decimal | None
    latency_ms: int | None
    reference: str | None
    metadata: dict[str, Any]
    idempotency_key: str
    fingerprint: bytes
    request_id: uuid.UUID
    is_admitted: bool = False


def charge_one(asked: AskedCharge) -> Any:
    """Charge in one round trip; answers a row of `usage_charge_outcome`."""
    return _written(
        asked.key_hash,
        lambda: call(
            "usage_charge",
            p_user_id=asked.user_id,
            p_key_hash=asked.key_hash,
            p_endpoint=asked.endpoint,
            p_method=asked.method,
            p_status=asked.status,
            p_units=asked.units,
            p_credits=asked.credits,
            p_latency_ms=asked.latency_ms,
            p_reference=asked.reference,
            p_metadata=Jsonb(asked.metadata),
            p_idempotency_key=asked.idempotency_key,
            p_fingerprint=asked.fingerprint,
            p_request_id=asked.request_id,
            **({"p_is_admitted": True} if asked.is_admitted else {}),
        ),
    )


def charge_together(many: Sequence[AskedCharge]) -> list[Any]:
    """Charge one customer for all of them, in their order and in one round trip; answers a row for each.

    They name the customer in the same way, and no idempotency key stands among them twice.
    """
    items = exact_json([_item(asked) for asked in many])
    user_id, key_hash = many[0].user_id, many[0].key_hash
    return _written(
        key_hash,
        lambda: call_rows("usage_charge_batch", p_user_id=user_id, p_key_hash=key_hash, p_items=items),
    )


def _written(key_hash: bytes | None, write: Callable[[], T]) -> T:
    return with_count(key_hash, lambda: with_partition(months_around(timezone.now()), write))


def _item(asked: AskedCharge) -> dict[str, Any]:
    return {
        "key": asked.idempotency_key,
        "fingerprint": asked.fingerprint.hex(),
        "endpoint": asked.endpoint,
        "method": asked.method,
        "status": asked.status,
        "units": str(asked.units),
        "credits": None if asked.credits is None else str(asked.credits),
        "latency_ms": asked.latency_ms,
        "reference": asked.reference,
        "metadata": asked.metadata,
        "request_id": asked.request_id,
        "is_admitted": asked.is_admitted,
    }
