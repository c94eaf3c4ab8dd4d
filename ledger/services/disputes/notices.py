"""Notices to the customer about each step of a dispute, in the transaction of that step."""

from __future__ import annotations

import datetime as dt

from accounts.services.notices import notify_customer
from config.values.credits import plain
from ledger.models import EntryDispute

_SUBJECTS = {
    "opened": "We have received your dispute {id}",
    "answered": "Your dispute {id} was answered",
    "resolved": "Your dispute {id} was resolved",
    "rejected": "Your dispute {id} was rejected",
}
_MOST_EMAILS_A_DAY = 50


def notify_step(dispute: EntryDispute, step: str, *, text: str | None, now: dt.datetime, number: int = 0) -> None:
    """Tell the customer of a step: by webhook always, by email too unless they took it themselves and withdrew."""
    subject = _SUBJECTS.get(step)
    notify_customer(
        user_id=dispute.user_id,
        type=f"dispute.{step}",
        key=f"{dispute.pk}:{number}" if number else str(dispute.pk),
        data={
            "dispute_id": dispute.pk,
            "entry_id": dispute.entry_id,
            "reason": dispute.reason,
            "state": dispute.state,
            "credits_returned": dispute.credits_returned,
        },
        subject=None if subject is None else subject.format(id=dispute.pk),
        body=None if subject is None else _body(dispute, step, text),
        now=now,
        most_emails_a_day=_MOST_EMAILS_A_DAY,
    )


def _body(dispute: EntryDispute, step: str, text: str | None) -> str:
    about = f"Your dispute {dispute.pk} of ledger entry {dispute.entry_id}"
    if step == "resolved":
        credits = f"{plain(dispute.credits_returned):,f}"
        return f"{about} was resolved: {credits} credits were returned by entry {dispute.reversal_id}.\n"
    said = {"opened": "has reached us. You wrote:", "answered": "was answered:", "rejected": "was rejected:"}[step]
    return f"{about} {said}\n\n{text}\n"
