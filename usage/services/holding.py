"""Holds for requests: priced when the work begins, paid and logged when it ends."""

from __future__ import annotations

import uuid
from collections.abc import Collection
from decimal import Decimal
from typing import Any, NamedTuple

from django.utils import timezone
from psycopg.types.json import Jsonb

from config.db.calls import call
from config.values.paths import endpoint_as_stored, normal_endpoint
from ledger.models import Hold
from ledger.services.entries import refusal_of
from ledger.services.holds import REPLAYED, HoldChange, hold_change, hold_of
from ledger.services.idempotency import fingerprint
from usage import errors
from usage.services.counting import with_count
from usage.services.customers import raise_customer_refusal
from usage.services.partitions import months_around, with_partition
from usage.standings import budget_of, rate_limited


class AskedHold(NamedTuple):
    """Credits of a customer to be set aside; the customer is named by id or by the SHA-256 of one of their keys."""

    idempotency_key: str
    user_id: int | None = None
    key_hash: bytes | None = None
    credits: Decimal | None = None
    endpoint: str | None = None
    method: str = ""
    units: Decimal = Decimal(1)
    expires_in_seconds: int = 900
    reference: str | None = None
    metadata: dict[str, Any] | None = None
    is_admitted: bool = False

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `usage_open_hold`."""
        asked = self._asdict()
        asked["seconds"] = asked.pop("expires_in_seconds")
        return _arguments(asked, not_compared={"idempotency_key", "user_id", "key_hash", "is_admitted"})


class AskedCapture(NamedTuple):
    """Held credits to be spent, and the request that they were held for; with `user_id`, only of that customer."""

    hold_id: int
    idempotency_key: str
    user_id: int | None = None
    credits: Decimal | None = None
    final: bool = True
    endpoint: str | None = None
    method: str = ""
    status: int = 200
    units: Decimal | None = None
    latency_ms: int | None = None
    reference: str | None = None
    metadata: dict[str, Any] | None = None
    request_id: uuid.UUID | None = None

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `usage_capture_hold`."""
        asked = self._asdict() | {"request_id": self.request_id or uuid.uuid4()}
        not_compared = {"idempotency_key", "user_id", "hold_id", "request_id"}
        return _arguments(asked, not_compared=not_compared, hold=self.hold_id)


def _arguments(asked: dict[str, Any], *, not_compared: Collection[str], **compared: Any) -> dict[str, Any]:
    """Return the fields as the SQL functions name them, with the fingerprint that a repetition must have in common."""
    asked["metadata"] = asked["metadata"] or {}
    compared |= {name: value for name, value in asked.items() if name not in not_compared}
    endpoint = asked["endpoint"]
    kept = asked | {
        "endpoint": None if endpoint is None else endpoint_as_stored(endpoint),
        "metadata": Jsonb(asked["metadata"]),
        "fingerprint": fingerprint(compared),
    }
    return {f"p_{name}": value for name, value in kept.items()}


class Captured(NamedTuple):
    """A hold as it is now, the debit of this capture (None: it took nothing), and whether it had been made before."""

    hold: Hold
    entry_id: int | None
    is_replay: bool


def hold_for_request(asked: AskedHold) -> HoldChange:
    """Set credits of a customer aside for `expires_in_seconds`.

    The amount is `credits` (positive), or else the cost of `units` of the endpoint now. Endpoint, method and units are
    stored for the capture. It is one of the calls a minute of a key, unless it `is_admitted`: counted before.
    Repeating the call with its key returns the hold opened then, also when the customer or their key has ended.

    :raises InsufficientCredits: if less is available
    :raises CustomerKeyRateLimited: if the key has made all its calls of this minute
    :raises PriceUnknown: if no price names the endpoint, and no credits were given
    :raises CustomerKeyInvalid, CustomerInactive, UnknownCustomer: if the customer may not be charged
    :raises IdempotencyKeyReused: if the key was used for another hold
    """
    outcome = with_count(asked.key_hash, lambda: call("usage_open_hold", **asked.arguments()))
    match outcome.outcome:
        case "price_unknown":
            raise errors.PriceUnknown(normal_endpoint(asked.endpoint or ""))
        case "rate_limited":
            raise rate_limited(outcome.limits)
        case "insufficient":
            raise refusal_of(outcome, required=outcome.required, budget=budget_of(outcome.limits))
    raise_customer_refusal(outcome.outcome)
    return hold_change(outcome)


def capture_hold(asked: AskedCapture) -> Captured:
    """Turn held credits into one debit, and log the request that they paid for.

    `credits` is positive; None captures all that is left. With `final` the rest is released; without, it stays held.
    A request that was rejected (401, 402, 429) costs nothing, nor does one that failed, unless `credits` is given or
    its price charges failures; a hold of which nothing was ever captured ends as released. Fields of the request that
    are not given are as they were when the hold was opened. Repeating the call with its key returns the same capture.
    With `user_id`, only a hold of that customer is found.

    :raises HoldNotFound: if there is no such hold
    :raises HoldCaptured, HoldReleased, HoldExpired: if the hold is settled
    :raises CaptureExceedsHold: if more is asked than is still held
    :raises IdempotencyKeyReused: if the key was used for another capture
    """
    arguments = asked.arguments()
    outcome = with_partition(months_around(timezone.now()), lambda: call("usage_capture_hold", **arguments))
    return Captured(hold_of(outcome), outcome.entry_id, is_replay=outcome.outcome == REPLAYED)
