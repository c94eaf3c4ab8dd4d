"""Gateway logs: one line of text becomes one reported request, or a reason why not."""

from __future__ import annotations

import csv
import datetime as dt
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from config.http.numbers import NotACreditAmount, parse_credits
from config.http.ranges import FIRST_YEAR, LAST_YEAR, NotAnInstant, parse_instant
from config.http.text import HOSTILE, is_hostile

CUSTOMER_FIELDS = ("host", "user", "api_key_prefix", "user_id", "email")


class LineRejected(ValueError):
    """This line is no request that can be recorded; the text says why."""


@dataclass(frozen=True)
class ReportedRequest:
    """One request as a log tells it. `customer` is the raw value of the field that names the customer."""

    customer: str
    path: str
    method: str
    status: int
    occurred_at: dt.datetime
    units: Decimal = Decimal(1)
    latency_ms: int | None = None
    reference: str | None = None


LineParser = Callable[[str], ReportedRequest]

# Apache's and nginx's "combined" (and the shorter "common") format. Quoted fields escape " and \ by a backslash.
# https://httpd.apache.org/docs/2.4/mod/mod_log_config.html
_COMBINED = re.compile(
    r'(?P<host>\S+) \S+ (?P<user>.+?) \[(?P<time>[^\]]+)\] "(?P<request>(?:[^"\\]|\\.)*)" (?P<status>\d{3}) (?:\d+|-)'
    r'(?: "(?:[^"\\]|\\.)*" "(?:[^"\\]|\\.)*")?(?: .*)?',
    re.ASCII,
)
_REQUEST_LINE = re.compile(r"(?P<method>[A-Z]{1,10}) (?P<path>\S.*?)(?: HTTP/\d(?:\.\d)?)?")
_COMBINED_TIME = re.compile(
    r"(\d{2})/([A-Z][a-z]{2})/(\d{4}):(\d{2}):(\d{2}):(\d{2}) ([+-])(0\d|1[0-4])([0-5]\d)", re.ASCII
)
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def combined_parser(customer_field: str) -> LineParser:
    """Give a parser of the combined log format, whose customer is the `host` or the `user`.

    :raises ValueError: if the format has no such field
    """
    if customer_field not in {"host", "user"}:
        raise ValueError(f"The combined format has no {customer_field}: use host or user.")

    def parse(line: str) -> ReportedRequest:
        form = _COMBINED.fullmatch(line)
        if form is None:
            raise LineRejected("it is not in the combined log format")
        customer = form[customer_field]
        if customer == "-":
            raise LineRejected(f"it names no {customer_field}")
        request = _REQUEST_LINE.fullmatch(form["request"])
        return _checked(
            customer,
            path=request["path"] if request else form["request"] or "-",
            method=request["method"] if request else "",
            status=int(form["status"]),
            occurred_at=_combined_time(form["time"]),
        )

    return parse


def _combined_time(text: str) -> dt.datetime:
    form = _COMBINED_TIME.fullmatch(text)
    if form is None or form[2] not in _MONTHS:
        raise LineRejected(f"its time {text!r} is not like 17/May/2015:10:05:03 +0000")
    day, _, year, hour, minute, second, sign, ahead_hours, ahead_minutes = form.groups()
    try:
        offset = dt.timedelta(hours=int(ahead_hours), minutes=int(ahead_minutes)) * (1 if sign == "+" else -1)
        moment = dt.datetime(
            int(year), _MONTHS.index(form[2]) + 1, int(day), int(hour), int(minute), int(second), tzinfo=dt.UTC
        )
        return moment - offset
    except (ValueError, OverflowError):
        raise LineRejected(f"there is no such time as {text!r}") from None


def jsonl_parser(customer_field: str) -> LineParser:
    """Give a parser of JSON objects, one a line.

    Fields: the customer field, `time`, `endpoint` (or `path`), `method`, `status`, `units`, `latency_ms`,
    `reference`; the customer, time, endpoint and status are required, others may be absent or null.
    """

    def parse(line: str) -> ReportedRequest:
        try:
            record = json.loads(line, parse_float=Decimal)
        except (ValueError, RecursionError, InvalidOperation):  # the last: an exponent that Decimal cannot hold
            raise LineRejected("it is not JSON") from None
        if not isinstance(record, dict):
            raise LineRejected("it is not a JSON object")
        return _from_record(record, customer_field)

    return parse


def csv_parser(customer_field: str, header: str) -> LineParser:
    """Give a parser of comma-separated lines under a header that names the fields as in JSON lines.

    :raises ValueError: if the header lacks a required field
    """
    names = [name.strip() for name in next(csv.reader([header.removeprefix("\ufeff")]), [])]
    missing = [name for name in (customer_field, "time", "status") if name not in names]
    if "endpoint" not in names and "path" not in names:
        missing.append("endpoint")
    if missing:
        raise ValueError(f"The CSV header lacks: {', '.join(missing)}.")

    def parse(line: str) -> ReportedRequest:
        try:
            values = next(csv.reader([line], strict=True), [])
        except csv.Error:
            raise LineRejected("it is not CSV: a record is one line") from None
        if len(values) != len(names):
            raise LineRejected(f"it has {len(values)} values under {len(names)} column names")
        return _from_record({name: value for name, value in zip(names, values, strict=True) if value}, customer_field)

    return parse


def _from_record(record: dict[str, Any], customer_field: str) -> ReportedRequest:
    time = _text(record, "time")
    try:
        occurred_at = parse_instant(time)
    except NotAnInstant as error:
        raise LineRejected(f"its time {time!r} cannot be read: {error}") from None
    endpoint = _text(record, "endpoint" if record.get("endpoint") is not None else "path")
    return _checked(
        _text(record, customer_field),
        path=endpoint,
        method=_text(record, "method", required=False).upper(),
        status=_whole(record, "status", 100, 599),
        occurred_at=occurred_at,
        units=_units(record.get("units")),
        latency_ms=None if record.get("latency_ms") is None else _whole(record, "latency_ms", 0, 2_147_483_647),
        reference=_text(record, "reference", required=False) or None,
    )


def _text(record: dict[str, Any], name: str, *, required: bool = True) -> str:
    value = record.get(name)
    if value is None or value == "":
        if required:
            raise LineRejected(f"it has no {name}")
        return ""
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if not isinstance(value, str):
        raise LineRejected(f"its {name} is not a text")
    return value


def _whole(record: dict[str, Any], name: str, least: int, most: int) -> int:
    text = _text(record, name)
    if not (text.isascii() and text.isdigit() and len(text) <= 10 and least <= int(text) <= most):
        raise LineRejected(f"its {name} {text[:20]!r} is not a whole number from {least} to {most}")
    return int(text)


def _units(value: object) -> Decimal:
    if value is None:
        return Decimal(1)
    try:
        return parse_credits(value)
    except NotACreditAmount as error:
        raise LineRejected(f"its units cannot be read: {error}") from None


def _checked(
    customer: str, *, path: str, method: str, status: int, occurred_at: dt.datetime, **rest: Any
) -> ReportedRequest:
    if any(is_hostile(text) for text in (customer, path, method, rest.get("reference") or "")):
        raise LineRejected(HOSTILE)
    if not FIRST_YEAR <= occurred_at.year <= LAST_YEAR:
        raise LineRejected(f"its year is not from {FIRST_YEAR} to {LAST_YEAR}")
    if not 100 <= status <= 599:
        raise LineRejected(f"its status {status} is not from 100 to 599")
    if len(method) > 10:
        raise LineRejected(f"its method {method[:20]!r} is too long")
    if len(rest.get("reference") or "") > 255:
        raise LineRejected("its reference has more than 255 characters")
    return ReportedRequest(customer, path, method, status, occurred_at, **rest)
