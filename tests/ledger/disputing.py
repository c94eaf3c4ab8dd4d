"""Disputes of debits, opened at once."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django.utils import timezone

from accounts.models import User
from ledger.models import EntryDispute, EntryDisputeReason
from ledger.services.disputes.opening import open_dispute
from tests.factories import give
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request


def disputed(user: User, entry_id: int, **asked: Any) -> EntryDispute:
    """Dispute a debit as wrong, unless other values are given."""
    usual: dict[str, Any] = {"reason": EntryDisputeReason.WRONG_AMOUNT, "message": "Too much", "now": timezone.now()}
    return open_dispute(user_id=user.pk, entry_id=entry_id, **usual | asked).dispute


def debited(user: User, credits: int | str = 10) -> int:
    """Give a customer credits, charge them again, and return the debit's id."""
    give(user, credits)
    asked = AskedCharge(user_id=user.pk, endpoint="*", credits=Decimal(credits), idempotency_key=uuid.uuid4().hex)
    return charge_request(asked).id


def a_dispute(user: User, credits: int | str = 10, **asked: Any) -> EntryDispute:
    return disputed(user, debited(user, credits), **asked)
