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
from config.values.paths import endpoint_as_stored
from ledger.services.idempotency import fingerprint
from usage.services.counting import with_count
from usage.services.partitions import months_around, with_partition

T = TypeVar("T")


class AskedCharge(NamedTuple):
    """One request to be charged to a customer, named by id or by the SHA-256 of one of their keys.

    Its fields are the arguments of `usage_charge`, whose names begin with `p_`, and the entries of a batch.
    With `is_admitted` it is not counted among the calls a minute of its key again. `with_fingerprint` sets
    `fingerprint`.
    """

    endpoint: str
    idempotency_key: str
    user_id: int | None = None
    key_hash: bytes | None = None
    method: str = ""
    status: int = 200
    units: Decimal = Decimal(1)
    credits: Decimal | None = None
    latency_ms: int | None = None
    reference: str | None = None
    metadata: dict[str, Any] | None = None
    request_id: uuid.UUID | None = None
    is_admitted: bool = False
    fingerprint: bytes = b""

    def with_fingerprint(self) -> AskedCharge:
        """Return it as the database stores it, with the SHA-256 of the fields that a repetition must have in common."""
        compared = self._asdict()
        compared["metadata"] = metadata = self.metadata or {}
        for name in _NOT_COMPARED:
            del compared[name]
        return self._replace(
            endpoint=endpoint_as_stored(self.endpoint),
            metadata=metadata,
            request_id=self.request_id or uuid.uuid4(),
            fingerprint=fingerprint(compared),
        )


_NOT_COMPARED = ("idempotency_key", "user_id", "key_hash", "request_id", "is_admitted", "fingerprint")
_ARGUMENTS = tuple(f"p_{name}" for name in AskedCharge._fields)


def charge_one(asked: AskedCharge) -> Any:
    """Charge in one round trip, and return a row of `usage_charge_outcome`."""
    arguments: dict[str, Any] = dict(zip(_ARGUMENTS, asked, strict=True))
    arguments["p_metadata"] = Jsonb(asked.metadata)
    if not asked.is_admitted:
        del arguments["p_is_admitted"]  # the function's default: one argument less to send
    return _written(asked.key_hash, lambda: call("usage_charge", **arguments))


def charge_together(many: Sequence[AskedCharge]) -> list[Any]:
    """Charge one customer for several requests, in their order and in one round trip, and return a row for each.

    They must name the customer in the same way, and have different idempotency keys.
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
    """Return a charge as an entry of a batch; amounts are texts, since JSON cannot express those that are refused."""
    item = {name: str(value) if isinstance(value, Decimal) else value for name, value in asked._asdict().items()}
    for name in ("user_id", "key_hash"):
        del item[name]
    return item | {"key": item.pop("idempotency_key"), "fingerprint": asked.fingerprint.hex()}
