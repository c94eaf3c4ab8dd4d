"""A customer's history with some of everything in it, created through services only."""

from __future__ import annotations

import datetime as dt
from contextlib import suppress
from decimal import Decimal

from accounts.models import User
from ledger.errors import InsufficientCredits
from ledger.services.holds import release_hold
from tests.factories import customer_with
from tests.ledger.posting import hold, post
from tests.usage.key_limits import limited_key
from tests.usage.metering import charge, held, price, report, request_at
from usage.services.charges.refunds import refund_charge
from usage.services.holding import AskedCapture, capture_hold

MARCH = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def prices() -> None:
    price("search", "1.5")
    price("free", 0)
    price("*", "0.25", charge_failures=True)


def eventful(email: str) -> User:
    """Create a customer with grants, purchases, adjustments, holds, charges, refunds, refusals, imports and limits."""
    user = customer_with(50, email=email)
    post(user, 10, type="credit", reason="purchase", reference="order 1")
    hold(user, 5)
    hold(user, 3, seconds=0)
    release_hold(hold_id=hold(user, 4).hold.pk, idempotency_key="released")
    charge(user)
    charge(user, "other", status=500, method="GET")
    charge(user, status=404)
    charge(user, "free")
    paid = charge(user, credits=Decimal("2.000001"), metadata={"größe": 1})
    refund_charge(charge_id=paid.id, credits=Decimal("0.5"), reason="half", idempotency_key="refunded")
    worked = held(user, units=Decimal(2)).hold
    capture_hold(AskedCapture(hold_id=worked.pk, credits=Decimal(1), final=False, idempotency_key="captured 1"))
    capture_hold(AskedCapture(hold_id=worked.pk, idempotency_key="captured 2"))
    key = limited_key(user, 3)
    refund_charge(charge_id=key.charge(2).id, credits=Decimal(1), reason="half", idempotency_key="refunded to the key")
    with suppress(InsufficientCredits):
        key.charge("2.5")
    with suppress(InsufficientCredits):
        charge(user, credits=Decimal(1000))
    post(user, "-7.5", reason="chargeback")
    for month in (0, 31):
        days = [MARCH + dt.timedelta(days=month + day) for day in (0, 0, 1)]
        report(user, [request_at(at, status=status) for at in days for status in (200, 404, 429)], charged=True)
    report(user, [request_at(MARCH, units=Decimal(5000))], charged=True)
    return user
