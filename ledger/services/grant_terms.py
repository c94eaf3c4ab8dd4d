"""Grants that staff end early or let stay longer; what debits have drawn on them so far stays as it is."""

from __future__ import annotations

import datetime as dt
from typing import NamedTuple

from ledger import errors
from ledger.models import GrantTermsChange
from ledger.services.calls import ledger_call
from ledger.services.idempotency import fingerprint

_REFUSALS: dict[str, type[errors.LedgerRefusal]] = {
    "key_reused": errors.IdempotencyKeyReused,
    "not_found": errors.GrantNotFound,
    "ended": errors.GrantHasEnded,
    "used": errors.GrantIsUsed,
    "not_later": errors.GrantEndsLater,
}


class GrantChanged(NamedTuple):
    """A change of a grant's end, and whether this call made it or an earlier one with the same key."""

    change: GrantTermsChange
    is_replay: bool


def end_grant(*, user_id: int, grant_id: int, note: str, actor_id: int, idempotency_key: str) -> GrantChanged:
    """End a grant now: what is left of it expires, by an entry whose description is `note`.

    What open holds have reserved of it stays until they end, as when its time comes by itself. Repeating the call with
    its key returns the change of the first call.

    :raises GrantNotFound: if the customer has no such grant
    :raises GrantHasEnded, GrantIsUsed: if its time has come, or nothing is left of it
    :raises IdempotencyKeyReused: if the key was used for another change
    :raises UnknownCustomer: if there is no such user
    """
    return _change_end(user_id, grant_id, None, note, actor_id, idempotency_key)


def extend_grant(
    *, user_id: int, grant_id: int, expires_at: dt.datetime, note: str, actor_id: int, idempotency_key: str
) -> GrantChanged:
    """Let a grant end at `expires_at`, later than it would.

    :raises GrantEndsLater: if it would end later than that, or never
    :raises GrantNotFound, GrantHasEnded, GrantIsUsed, IdempotencyKeyReused, UnknownCustomer: as `end_grant`
    """
    return _change_end(user_id, grant_id, expires_at, note, actor_id, idempotency_key)


def _change_end(
    user_id: int, grant_id: int, expires_at: dt.datetime | None, note: str, actor_id: int, idempotency_key: str
) -> GrantChanged:
    until = None if expires_at is None else expires_at.astimezone(dt.UTC).isoformat()
    outcome = ledger_call(
        "ledger_change_grant_end",
        p_user_id=user_id,
        p_grant_id=grant_id,
        p_expires_at=expires_at,
        p_note=note,
        p_actor_id=actor_id,
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint({"grant": grant_id, "until": until, "note": note, "actor": actor_id}),
    )
    if outcome.outcome in _REFUSALS:
        raise _REFUSALS[outcome.outcome]
    change = GrantTermsChange.objects.select_related("grant").get(pk=outcome.change_id)
    return GrantChanged(change, is_replay=outcome.outcome == "replayed")
