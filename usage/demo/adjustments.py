"""The demo company's adjustments: limits of roles, a request in each state, a file, and a reversal."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from django.contrib.auth.models import Group

from accounts.models import User
from accounts.services.roles.table import Role
from config.rounds import Round
from ledger.models import AdjustmentLimit, AdjustmentReason, AdjustmentState, Entry
from ledger.services.adjustments.deciding import approve_adjustment, reject_adjustment
from ledger.services.adjustments.files import post_lines, request_adjustment_file
from ledger.services.adjustments.reading import read_adjustments
from ledger.services.adjustments.requests import request_adjustment

# Credits of one adjustment, and of a day.
LIMITS = {Role.SUPPORT: (100, 500), Role.FINANCE: (2_000, 10_000)}
# Customer, credits, reason, note, reference, and what finance says about it: approved, rejected, or nothing yet.
ASKED_FOR = (
    ("dora", 250, AdjustmentReason.GOODWILL, "Two days without documents in November", "T-1041", "approved"),
    ("charlie", 1_000, AdjustmentReason.GOODWILL, "Asks for credits for a conference", "T-1057", "rejected"),
    ("alice", 400, AdjustmentReason.CORRECTION, "Charged twice by our batch importer", "T-1063", ""),
)
_DECISIONS = {
    "approved": (approve_adjustment, "Seen in the incident report"),
    "rejected": (reject_adjustment, "Marketing pays for conferences"),
}


def seed_adjustments(people: Mapping[str, User], *, support: User, finance: User) -> None:
    """Set the limits, ask, and decide; a second run finds what the first did."""
    for role, (single, daily) in LIMITS.items():
        limits = {"single": Decimal(single), "daily": Decimal(daily)}
        AdjustmentLimit.objects.get_or_create(group=Group.objects.get(name=role), defaults=limits)
    for name, amount, reason, note, reference, decision in ASKED_FOR:
        request = request_adjustment(
            user_id=people[name].pk, amount=Decimal(amount), reason=reason, note=note, reference=reference,
            actor_id=support.pk, idempotency_key=f"demo: {reference}",
        ).request  # fmt: skip
        if decision and request.state == AdjustmentState.PENDING:
            decide, why = _DECISIONS[decision]
            decide(request_id=request.pk, actor_id=finance.pk, note=why)
    _file(people, finance)
    _reversal(people["alice"], support)


def _file(people: Mapping[str, User], finance: User) -> None:
    lines = [f"{people[name].email},{credits},goodwill,Slow translations on Monday,INC-88" for name, credits in (
        ("alice", 40), ("bob", 25), ("dora", 10),
    )]  # fmt: skip
    text = "\n".join(["customer,amount,reason,note,reference", *lines])
    request = request_adjustment_file(
        lines=read_adjustments(text, by=finance), note="Everybody who was slowed down by incident 88",
        file_name="incident-88.csv", actor_id=finance.pk, idempotency_key="demo: incident 88",
    ).request  # fmt: skip
    post_lines(Round(), most=len(lines), request_id=request.pk)


def _reversal(alice: User, support: User) -> None:
    """Give back a part of a charge."""
    debit = Entry.objects.of(alice.pk).filter(operation="charge", idempotency_key="demo: charge 2").first()
    if debit is not None:
        request_adjustment(
            user_id=alice.pk, amount=Decimal(1), reason=AdjustmentReason.CORRECTION, note="One text came back empty",
            reference="T-1060", reverses=debit.pk, actor_id=support.pk, idempotency_key="demo: T-1060",
        )  # fmt: skip
