"""The demo company's disputes: one with a thread that waits for staff, one resolved, one rejected."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal

from accounts.models import User
from ledger.models import Entry, EntryDispute, EntryDisputeReason
from ledger.services.disputes.closing import reject_dispute
from ledger.services.disputes.opening import open_dispute
from ledger.services.disputes.talking import answer_dispute, write_message
from ledger.services.resolutions import resolve_dispute
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request

CREDITS = Decimal(3)


def seed_disputes(people: Mapping[str, User], *, support: User, now: dt.datetime) -> None:
    """Dispute three charges and answer them; a second run does nothing more."""
    alice = people["alice"]
    if EntryDispute.objects.of(alice.pk).exists():
        return
    _open_one(alice, support, now)
    _resolved(alice, support, now)
    _rejected(alice, support, now)


def _open_one(alice: User, support: User, now: dt.datetime) -> None:
    dispute = _disputed(alice, 1, EntryDisputeReason.WRONG_AMOUNT, "This text had one page, not three.", now)
    answer_dispute(
        dispute_id=dispute.pk, text="Which file was it? Our log has three pages.", actor_id=support.pk, now=now
    )
    write_message(
        user_id=alice.pk, dispute_id=dispute.pk, text="contract-7.pdf; pages two and three are empty.", now=now
    )


def _resolved(alice: User, support: User, now: dt.datetime) -> None:
    dispute = _disputed(alice, 2, EntryDisputeReason.FAILED_REQUEST, "The translation came back empty.", now)
    resolve_dispute(
        dispute_id=dispute.pk, credits=CREDITS, note="The translation came back empty", actor_id=support.pk,
        idempotency_key="demo: dispute", now=now,
    )  # fmt: skip


def _rejected(alice: User, support: User, now: dt.datetime) -> None:
    dispute = _disputed(alice, 3, EntryDisputeReason.NOT_MINE, "I did not send this.", now)
    words = "The request came with your key Production, from the address that you always use."
    reject_dispute(dispute_id=dispute.pk, text=words, actor_id=support.pk, now=now)


def _disputed(alice: User, number: int, reason: EntryDisputeReason, message: str, now: dt.datetime) -> EntryDispute:
    asked = AskedCharge(
        user_id=alice.pk, endpoint="translate", units=CREDITS, method="POST",
        idempotency_key=f"demo: disputed charge {number}",
    )  # fmt: skip
    debit = Entry.objects.get(pk=charge_request(asked).id)
    return open_dispute(user_id=alice.pk, entry_id=debit.pk, reason=reason, message=message, now=now).dispute
