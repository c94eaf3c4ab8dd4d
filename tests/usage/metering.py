"""Short forms of frequent steps of these tests: prices, charges, reported requests."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from decimal import Decimal
from typing import Any

from accounts.models import User
from ledger.models import Hold
from ledger.services.entries import Posted
from ledger.services.holds import HoldChange
from usage.models import DailyUsage, Price
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import Charge, charge_request
from usage.services.charges.refunds import refund_charge
from usage.services.holding import AskedCapture, AskedHold, Captured, capture_hold, hold_for_request
from usage.services.imports.recording import Line, Recorded, record_lines
from usage.services.imports.reported import ReportedRequest
from usage.services.prices import set_price

LONG_AGO = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)


def price(endpoint: str, credits: Decimal | int | str, **asked: Any) -> Price:
    """Set a price that has long been in force, unless another time is passed."""
    return set_price(endpoint=endpoint, credits=Decimal(credits), **{"effective_from": LONG_AGO} | asked)


def charge(user: User | None, endpoint: str = "search", **asked: Any) -> Charge:
    """Charge under a new key, unless one is given."""
    named = {"user_id": user.pk} if user is not None else {}
    return charge_request(AskedCharge(endpoint=endpoint, **named | {"idempotency_key": uuid.uuid4().hex} | asked))


def held(user: User | None, endpoint: str | None = "search", **asked: Any) -> HoldChange:
    """Hold for a request, under a new key unless one is given."""
    named = {"user_id": user.pk} if user is not None else {}
    return hold_for_request(AskedHold(endpoint=endpoint, **named | {"idempotency_key": uuid.uuid4().hex} | asked))


def captured(hold: Hold, **asked: Any) -> Captured:
    """Capture under a new key, unless one is given."""
    return capture_hold(AskedCapture(hold_id=hold.pk, **{"idempotency_key": uuid.uuid4().hex} | asked))


def refund(charge_id: int, credits: Decimal | int | str | None = None, **asked: Any) -> Posted:
    """Refund under a new key, unless one is passed."""
    amount = None if credits is None else Decimal(credits)
    named = {"reason": "it did not work", "idempotency_key": uuid.uuid4().hex}
    return refund_charge(charge_id=charge_id, credits=amount, **named | asked)


def request_at(at: dt.datetime, path: str = "search", **fields: Any) -> ReportedRequest:
    return ReportedRequest(
        **{"customer": "-", "path": path, "method": "GET", "status": 200, "occurred_at": at} | fields
    )


def report(user: User, requests: list[ReportedRequest], *, charged: bool = False, source: str = "test") -> Recorded:
    """Record requests as new lines."""
    lines = [Line(hashlib.sha256(uuid.uuid4().bytes).digest(), request) for request in requests]
    return record_lines(user_id=user.pk, source=source, lines=lines, charge=charged)


def rolled_up(user: User) -> list[tuple[str, int, int, int, Decimal]]:
    """Return the customer's sums of all days, in order: endpoint, successful, failed, rejected, credits."""
    sums = DailyUsage.objects.filter(user=user).order_by("day", "endpoint")
    return [(one.endpoint, one.successful, one.failed, one.rejected, one.credits) for one in sums]
