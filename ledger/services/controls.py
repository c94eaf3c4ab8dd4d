"""Terms on which a customer may spend: frozen or not, and how far the balance may be overdrawn."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, NamedTuple

from ledger import errors
from ledger.models import TermsChange
from ledger.services.calls import ledger_call
from ledger.services.idempotency import fingerprint


class Changed(NamedTuple):
    """A change of terms, and whether this call made it or an earlier one with the same key."""

    change: TermsChange
    is_replay: bool


def freeze_balance(*, user_id: int, note: str, actor_id: int | None, idempotency_key: str) -> Changed:
    """Freeze a balance: nothing more is spent or held from it; credits still come in, and open holds are kept.

    `actor_id` is the member of staff who does it; None: it follows from a rule. Repeating the call with its key returns
    the change of the first call, even if it was undone since.

    :raises TermsUnchanged: if the balance is frozen already
    :raises IdempotencyKeyReused: if the key was used for another change
    :raises UnknownCustomer: if there is no such user
    """
    return _freeze(user_id, note, actor_id, idempotency_key, frozen=True)


def unfreeze_balance(*, user_id: int, note: str, actor_id: int, idempotency_key: str) -> Changed:
    """Unfreeze a frozen balance.

    :raises TermsUnchanged: if the balance is not frozen
    :raises IdempotencyKeyReused, UnknownCustomer: as `freeze_balance`
    """
    return _freeze(user_id, note, actor_id, idempotency_key, frozen=False)


def set_overdraft_limit(*, user_id: int, limit: Decimal, note: str, actor_id: int, idempotency_key: str) -> Changed:
    """Set how far a customer's available credits may fall below zero: to -`limit`, which is 0 or more credits.

    :raises TermsUnchanged: if that is the limit already
    :raises OverdraftLimitTooLow: if the customer is overdrawn by more
    :raises IdempotencyKeyReused, UnknownCustomer: as `freeze_balance`
    """
    outcome = ledger_call(
        "ledger_set_overdraft",
        p_user_id=user_id,
        p_limit=limit,
        p_note=note,
        p_actor_id=actor_id,
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint({"limit": limit, "note": note, "actor": actor_id}),
    )
    if outcome.outcome == "unchanged":
        raise errors.TermsUnchanged("That is the overdraft limit already.")
    if outcome.outcome == "too_low":
        raise errors.OverdraftLimitTooLow(overdrawn=outcome.overdrawn)
    return _changed(outcome)


def _freeze(user_id: int, note: str, actor_id: int | None, idempotency_key: str, *, frozen: bool) -> Changed:
    outcome = ledger_call(
        "ledger_freeze",
        p_user_id=user_id,
        p_frozen=frozen,
        p_note=note,
        p_actor_id=actor_id,
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint({"frozen": frozen, "note": note, "actor": actor_id}),
    )
    if outcome.outcome == "unchanged":
        raise errors.TermsUnchanged("The balance is frozen already." if frozen else "The balance is not frozen.")
    return _changed(outcome)


def _changed(outcome: Any) -> Changed:
    if outcome.outcome == "key_reused":
        raise errors.IdempotencyKeyReused
    return Changed(TermsChange.objects.get(pk=outcome.change_id), is_replay=outcome.outcome == "replayed")
