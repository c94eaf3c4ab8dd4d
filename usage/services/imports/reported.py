"""Reported requests: what a line of a log is parsed into, or the reason why it is rejected."""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from config.values.text import INVALID_TEXT, is_invalid_text
from config.values.times import FIRST_YEAR, LAST_YEAR

_METHOD = re.compile(r"[A-Za-z]{1,10}", re.ASCII)


class LineRejected(ValueError):
    """This line is not a request that can be recorded; the message says why."""


@dataclass(frozen=True)
class ReportedRequest:
    """One request as a log reports it. `customer` is the raw value of the field that names the customer."""

    customer: str
    path: str
    method: str
    status: int
    occurred_at: dt.datetime
    units: Decimal = Decimal(1)
    latency_ms: int | None = None
    reference: str | None = None


LineParser = Callable[[str], ReportedRequest]


def reported(
    customer: str, *, path: str, method: object, status: int, occurred_at: dt.datetime, **rest: Any
) -> ReportedRequest:
    """Build a request from the fields of a line.

    :raises LineRejected: if it could not be stored, or its time is implausible
    """
    if is_invalid_text(customer) or is_invalid_text(path):
        raise LineRejected(INVALID_TEXT)
    if not FIRST_YEAR <= occurred_at.year <= LAST_YEAR:
        raise LineRejected(f"its year is not from {FIRST_YEAR} to {LAST_YEAR}")
    if not 100 <= status <= 599:
        raise LineRejected(f"its status {status} is not from 100 to 599")
    is_method = isinstance(method, str) and _METHOD.fullmatch(method)
    return ReportedRequest(customer, path, str(method).upper() if is_method else "", status, occurred_at, **rest)
