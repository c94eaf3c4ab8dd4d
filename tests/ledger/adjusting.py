"""Adjustments that staff ask for, approve and reject, in few words."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Group

from accounts.models import User
from ledger.models import AdjustmentLimit, AdjustmentReason, AdjustmentRequest, Entry
from ledger.services.adjustments.deciding import approve_adjustment, reject_adjustment, withdraw_adjustment
from ledger.services.adjustments.files import request_adjustment_file
from ledger.services.adjustments.outcomes import AdjustmentOutcome
from ledger.services.adjustments.reading import ReadLine, read_adjustments
from ledger.services.adjustments.requests import request_adjustment

HEADER = "customer,amount,reason,note,reference\n"


def ask(user: User, amount: Decimal | int | str, *, by: User, **asked: Any) -> AdjustmentOutcome:
    """Ask for an adjustment of goodwill under a new key, unless other values are given."""
    defaults = {"reason": AdjustmentReason.GOODWILL, "note": "A test", "idempotency_key": uuid.uuid4().hex}
    return request_adjustment(user_id=user.pk, amount=Decimal(amount), actor_id=by.pk, **defaults | asked)


def reverse(entry: Entry, amount: Decimal | int | str, *, by: User, **asked: Any) -> AdjustmentOutcome:
    """Reverse an entry by this signed amount."""
    asked = {"reason": AdjustmentReason.CORRECTION, **asked}
    return ask(User.objects.get(pk=entry.user_id), amount, by=by, reverses=entry.pk, **asked)


def approve(request: AdjustmentRequest, *, by: User) -> AdjustmentOutcome:
    return approve_adjustment(request_id=request.pk, actor_id=by.pk, note="Seen")


def reject(request: AdjustmentRequest, *, by: User) -> AdjustmentOutcome:
    return reject_adjustment(request_id=request.pk, actor_id=by.pk, note="No")


def withdraw(request: AdjustmentRequest, *, by: User) -> AdjustmentOutcome:
    return withdraw_adjustment(request_id=request.pk, actor_id=by.pk, note="")


def read(*lines: str, by: User) -> list[ReadLine]:
    """Read a file of these lines: customer, amount, reason, note, reference."""
    return read_adjustments(HEADER + "\n".join(lines), by=by)


def send(*lines: str, by: User, **asked: Any) -> AdjustmentOutcome:
    """Ask for the adjustments of a file of these lines under a new key, unless other values are given."""
    defaults = {"note": "Outage", "file_name": "outage.csv", "idempotency_key": uuid.uuid4().hex}
    return request_adjustment_file(lines=read(*lines, by=by), actor_id=by.pk, **defaults | asked)


def limited(person: User, *, single: Decimal | int | str, daily: Decimal | int | str) -> User:
    """Put a person into a new group with these limits."""
    group = Group.objects.create(name=uuid.uuid4().hex)
    AdjustmentLimit.objects.create(group=group, single=Decimal(single), daily=Decimal(daily))
    person.groups.add(group)
    return person
