"""Lines of the spool: each is one metered request whose work is done and which was not settled."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any, NamedTuple

from config.values.json import exact_json
from ledger.models import Hold
from usage.services.metered_requests import Announced, Outcome

VERSION = 1


class NotASpooledRequest(ValueError):
    """This line was not written by the spool, or was cut off by a crash."""

    def __init__(self) -> None:
        super().__init__("it cannot be read: a crash has torn it, or it is none of ours")


class SpooledRequest(NamedTuple):
    """A request, its outcome and time; `hold` None: the database became unavailable before one was opened."""

    announced: Announced
    outcome: Outcome
    hold: Hold | None
    occurred_at: dt.datetime


def to_line(request: SpooledRequest) -> bytes:
    """Return a request as one line of JSON, with its line break. A customer's key is stored as its SHA-256 only."""
    announced = request.announced._asdict()
    announced["key_hash"] = request.announced.key_hash.hex() if request.announced.key_hash else None
    hold = request.hold
    record = {
        "version": VERSION,
        "occurred_at": request.occurred_at,
        "announced": _texts(announced),
        "outcome": _texts(request.outcome._asdict()),
        "hold": hold and _texts({name: getattr(hold, name) for name in ("id", "user_id", "credits")}),
        "held_at": hold and hold.created_at,
    }
    return exact_json(record).encode() + b"\n"


def from_line(line: bytes) -> SpooledRequest:
    """Parse a line.

    :raises NotASpooledRequest: if it is not a whole line of the spool
    """
    try:
        record = json.loads(line)
        if record["version"] != VERSION:
            raise NotASpooledRequest
        announced, outcome = record["announced"], record["outcome"]
        announced["key_hash"] = bytes.fromhex(announced["key_hash"]) if announced["key_hash"] else None
        return SpooledRequest(
            Announced(**_decimals(announced)),
            Outcome(**_decimals(outcome)),
            _hold(record),
            dt.datetime.fromisoformat(record["occurred_at"]),
        )
    except (ValueError, ArithmeticError, TypeError, KeyError, AttributeError) as error:
        raise NotASpooledRequest from error


def _hold(record: Any) -> Hold | None:
    if record["hold"] is None:
        return None
    return Hold(**_decimals(record["hold"]), created_at=dt.datetime.fromisoformat(record["held_at"]))


def _texts(fields: dict[str, Any]) -> dict[str, Any]:
    return {name: str(value) if isinstance(value, Decimal) else value for name, value in fields.items()}


def _decimals(fields: dict[str, Any]) -> dict[str, Any]:
    amounts = {"units", "credits"}
    return {name: Decimal(value) if name in amounts and value is not None else value for name, value in fields.items()}
