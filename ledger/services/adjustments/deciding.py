"""Decisions on adjustments that wait: approved or rejected by a second person, or withdrawn by the author."""

from __future__ import annotations

from django.db import transaction
from django.utils import timezone

from ledger.adjustment_errors import AdjustmentNotFound
from ledger.models import AdjustmentRequest, AdjustmentState
from ledger.services.adjustments.announcing import tell_author
from ledger.services.adjustments.outcomes import AdjustmentOutcome, outcome_of
from ledger.services.adjustments.posting import stop_reloading_if_charged_back
from ledger.services.calls import ledger_call
from ledger.services.disputes.closing import note_decision


def approve_adjustment(*, request_id: int, actor_id: int, note: str) -> AdjustmentOutcome:
    """Approve a request and post its entry; the lines of a file are posted by `post_lines` afterwards.

    What cannot be posted is refused, and the request waits as before. Approving it again returns what was done.

    :raises SecondPersonRequired: if the approver asked for it
    :raises OwnAccountAdjusted: if the approver is the customer
    :raises AdjustmentDecided: if it was decided before, by somebody else or otherwise
    :raises AdjustmentNotFound: if there is no such request
    :raises LedgerRefusal: whatever keeps the entry from being posted, as `request_adjustment`
    """
    return _decide(request_id, AdjustmentState.APPROVED, actor_id, note)


def reject_adjustment(*, request_id: int, actor_id: int, note: str) -> AdjustmentOutcome:
    """Reject a request: nothing is posted.

    :raises SecondPersonRequired, AdjustmentDecided, AdjustmentNotFound: as `approve_adjustment`
    """
    return _decide(request_id, AdjustmentState.REJECTED, actor_id, note)


def withdraw_adjustment(*, request_id: int, actor_id: int, note: str) -> AdjustmentOutcome:
    """Withdraw a request of one's own: nothing is posted.

    :raises SecondPersonRequired: if somebody else asked for it
    :raises AdjustmentDecided, AdjustmentNotFound: as `approve_adjustment`
    """
    return _decide(request_id, AdjustmentState.WITHDRAWN, actor_id, note)


@transaction.atomic
def _decide(request_id: int, decision: AdjustmentState, actor_id: int, note: str) -> AdjustmentOutcome:
    asked = AdjustmentRequest.objects.filter(pk=request_id).values("user_id", "amount", "reason").first()
    if asked is None:
        raise AdjustmentNotFound
    found = ledger_call(
        "ledger_decide_adjustment", p_request_id=request_id, p_decision=decision, p_actor_id=actor_id, p_note=note
    )
    outcome = outcome_of(found, amount=asked["amount"])
    if outcome.is_replay:
        return outcome
    if outcome.entry is not None:
        stop_reloading_if_charged_back(
            user_id=asked["user_id"], reason=asked["reason"], amount=asked["amount"], now=outcome.entry.created_at
        )
    note_decision(outcome.request, outcome.entry, now=timezone.now())
    if decision != AdjustmentState.WITHDRAWN:
        tell_author(outcome.request, now=timezone.now())
    return outcome
