"""Logs whose lines have named fields: JSON objects, and records of CSV."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from typing import Any

from config.values.credits import NotACreditAmount, parse_credits, whole_milliseconds
from config.values.text import is_invalid_text
from config.values.times import NotAnInstant
from usage.services.imports.reported import LineParser, LineRejected, ReportedRequest, reported
from usage.services.imports.times import log_time

CUSTOMER_FIELDS = ("host", "user", "api_key_prefix", "user_id", "email")
# Milliseconds in one of each unit.
_LATENCIES = {
    "latency_ms": Decimal(1),
    "latency_s": Decimal(1_000),
    "latency_us": Decimal("0.001"),
    "latency_ns": Decimal("0.000001"),
}
FIELDS = ("time", "endpoint", "path", "method", "status", "units", *_LATENCIES, "reference")
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_LONGEST_REFERENCE = 255


def jsonl_parser(customer_field: str, places: Mapping[str, str] | None = None) -> LineParser:
    """Return a parser of JSON objects, one a line.

    Fields: the customer field, `time`, `endpoint` (or `path`), `method`, `status`, `units`, `latency_ms`,
    `reference`; the customer, time, endpoint and status are required, others may be absent or null. An invalid method,
    latency or reference is left out, so that the request is not lost. `places` says where a field is when it is not
    under its own name, such as `request.uri` for the member `uri` of the member `request`.
    """
    steps = {name: (place, place.split(".")) for name, place in (places or {}).items()}

    def parse(line: str) -> ReportedRequest:
        try:
            record = json.loads(line, parse_float=Decimal)
        except (ValueError, RecursionError, InvalidOperation):  # the last: an exponent that Decimal cannot hold
            raise LineRejected("it is not JSON") from None
        if not isinstance(record, dict):
            raise LineRejected("it is not a JSON object")
        for name, (place, path) in steps.items():
            record[name] = record[place] if place in record else _member(record, path)
        return _from_record(record, customer_field)

    return parse


def _member(record: Any, path: list[str]) -> Any:
    for step in path:
        record = record.get(step) if isinstance(record, dict) else None
    return record


def csv_parser(customer_field: str, header: str, places: Mapping[str, str] | None = None) -> LineParser:
    """Return a parser of lines under a header that names the fields as in JSON lines, in any case.

    Commas, semicolons, tabs or bars separate them: the one that finds the most names in the header. `places` maps a
    field to the name of its column, where that differs.

    :raises ValueError: if the header lacks a required field
    """
    wanted = {name: name for name in (customer_field, *FIELDS)} | dict(places or {})
    separator, names = max(
        ((each, next(csv.reader([header], delimiter=each), [])) for each in _SEPARATORS),
        key=lambda read: len(_columns(read[1], wanted)),
    )
    columns = _columns(names, wanted)
    missing = [name for name in (customer_field, "time", "status") if name not in columns]
    if "endpoint" not in columns and "path" not in columns:
        missing.append("endpoint")
    if missing:
        raise ValueError(
            f"The CSV header lacks: {', '.join(missing)}. Parted by {_SEPARATORS[separator]} it names: "
            f"{', '.join(name.strip() for name in names)[:200] or 'nothing'}."
        )

    def parse(line: str) -> ReportedRequest:
        try:
            values = next(csv.reader([line], delimiter=separator, strict=True), [])
        except csv.Error:
            raise LineRejected("it is not CSV: a record is one line") from None
        if len(values) != len(names):
            raise LineRejected(f"it has {len(values)} values under {len(names)} column names")
        return _from_record({name: values[at] for name, at in columns.items() if values[at]}, customer_field)

    return parse


def _columns(names: list[str], wanted: Mapping[str, str]) -> dict[str, int]:
    """Find the fields' columns by their names; an exact spelling takes precedence over one in another case."""
    exactly = {name.strip(): at for at, name in enumerate(names)}
    loosely = {name.strip().lower(): at for at, name in reversed(list(enumerate(names)))}
    found = {field: exactly.get(name, loosely.get(name.lower())) for field, name in wanted.items()}
    return {field: at for field, at in found.items() if at is not None}


def _from_record(record: dict[str, Any], customer_field: str) -> ReportedRequest:
    time = record.get("time")
    if time is None or time == "":
        raise LineRejected("it has no time")
    try:
        occurred_at = log_time(time)
    except NotAnInstant as error:
        raise LineRejected(f"its time {str(time)[:80]!r} cannot be read: {error}") from None
    endpoint = _text(record, "endpoint" if record.get("endpoint") is not None else "path")
    customer = _text(record, customer_field)
    if customer == "-":
        raise LineRejected(f"it names no {customer_field}")
    return reported(
        customer,
        path=endpoint,
        method=record.get("method"),
        status=_status(record),
        occurred_at=occurred_at,
        units=_units(record.get("units")),
        latency_ms=_latency(record),
        reference=_reference(record.get("reference")),
    )


def _text(record: dict[str, Any], name: str) -> str:
    value = record.get(name)
    if value is None or value == "":
        raise LineRejected(f"it has no {name}")
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise LineRejected(f"its {name} is not a text")
    return value


def _status(record: dict[str, Any]) -> int:
    value = record.get("status")
    if value is None or value == "":
        raise LineRejected("it has no status")
    text = f"{value:f}" if isinstance(value, Decimal) and value.adjusted() < 4 else str(value)
    form = re.fullmatch(r"\s*([1-5][0-9]{2})(?:\.0*)?\s*", text[:20], re.ASCII)
    if form is None or isinstance(value, bool):
        raise LineRejected(f"its status {text[:20]!r} is not a whole number from 100 to 599")
    return int(form[1])


def _units(value: object) -> Decimal:
    if value is None:
        return Decimal(1)
    try:
        return parse_credits(value, allow_zero=True)  # 0 costs the minimum of its price
    except NotACreditAmount as error:
        raise LineRejected(f"its units cannot be read: {error}") from None


def _latency(record: dict[str, Any]) -> int | None:
    for name, milliseconds in _LATENCIES.items():
        if record.get(name) is not None:
            return whole_milliseconds(record[name], per_unit=milliseconds)
    return None


def _reference(value: object) -> str | None:
    if isinstance(value, int) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or is_invalid_text(value):
        return None
    return value[:_LONGEST_REFERENCE] or None
