"""Adjustments that staff ask for: posted at once within the author's limits, else kept until a second person agrees."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.conf import settings
from django.db import transaction
from django.utils import timezone

from ledger.models import AdjustmentReason, AdjustmentState
from ledger.services.adjustments.announcing import tell_approvers
from ledger.services.adjustments.outcomes import AdjustmentOutcome, outcome_of
from ledger.services.adjustments.posting import stop_reloading_if_charged_back
from ledger.services.calls import ledger_call
from ledger.services.idempotency import fingerprint


@transaction.atomic
def request_adjustment(
    *,
    user_id: int,
    amount: Decimal,
    reason: AdjustmentReason,
    note: str,
    actor_id: int,
    idempotency_key: str,
    reference: str = "",
    reverses: int | None = None,
) -> AdjustmentOutcome:
    """Adjust a customer's balance by `amount` (signed credits, never 0), or ask a second person to agree.

    It is posted at once if it is within the author's limits (`limits.py`) and the account is not the author's own;
    else `entry` of the outcome is None, and whoever may approve it is told by email. What could not be posted now is
    refused either way. The note becomes the entry's description: staff and the customer read it.

    `reverses` names an entry of the customer that this one takes back or gives back, in part or wholly. What returns
    the debit of a request has the reason `reversal` whatever `reason` says, and lowers the statistics of the request.
    A debit of several requests at once (events, imports) is returned by an adjustment, and statistics stay.

    Repeating the call with its key returns the request of the first call, as it stands by now.

    :raises InsufficientCredits, BalanceFrozen, BalanceLimitExceeded: if it could not be posted
    :raises EntryNotReversible, ReversalExceedsEntry, AdjustmentNotFound, GrantsUnsettled: if `reverses` cannot be
    :raises IdempotencyKeyReused: if the key was used for another request
    :raises UnknownCustomer: if there is no such user
    """
    asked = {
        "amount": amount,
        "reason": reason,
        "note": note,
        "reference": reference,
        "reverses": reverses,
        "author": actor_id,
    }
    found = ledger_call(
        "ledger_request_adjustment",
        p_user_id=user_id,
        p_amount=amount,
        p_reason=reason,
        p_note=note,
        p_reference=reference or None,
        p_reverses=reverses,
        p_author_id=actor_id,
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint(asked),
        **default_limits(),
    )
    outcome = outcome_of(found, amount=amount)
    if outcome.is_replay:
        return outcome
    if outcome.request.state == AdjustmentState.PENDING:
        tell_approvers(outcome.request, now=timezone.now())
    elif outcome.entry is not None:
        stop_reloading_if_charged_back(
            user_id=user_id, reason=outcome.request.reason, amount=amount, now=outcome.entry.created_at
        )
    return outcome


def default_limits() -> dict[str, Any]:
    """Return the site's limits, for staff of whose groups none has its own."""
    return {
        "p_default_single": settings.ADJUSTMENT_LIMIT,
        "p_default_daily": settings.ADJUSTMENT_LIMIT_PER_DAY,
    }
