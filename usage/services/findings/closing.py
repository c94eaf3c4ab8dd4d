"""Closing findings: staff say why a case is settled."""

from __future__ import annotations

from typing import NamedTuple

from django.db import transaction

from config.db.calls import call
from ledger.services.idempotency import fingerprint
from usage.errors import FindingClosed, FindingKeyReused, FindingNotFound
from usage.models import FindingEvent, ReconciliationFinding
from usage.services.findings.freezing import unfreeze_after


class Closed(NamedTuple):
    """A closing of a finding, and whether this call made it or an earlier one with the same key."""

    event: FindingEvent
    is_replay: bool


@transaction.atomic
def close_finding(*, finding_id: int, note: str, actor_id: int, idempotency_key: str) -> Closed:
    """Close a finding; the note says why, and stays. An account that findings alone had frozen is unfrozen.

    Repeating the call with its key returns the first closing, even if the finding was found again since.

    :raises FindingNotFound: if there is none
    :raises FindingClosed: if it is closed already
    :raises FindingKeyReused: if the key was used for another note
    """
    outcome = call(
        "usage_close_finding",
        p_finding_id=finding_id,
        p_note=note,
        p_actor_id=actor_id,
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint({"note": note, "actor": actor_id}),
    )
    match outcome.outcome:
        case "not_found":
            raise FindingNotFound
        case "unchanged":
            raise FindingClosed
        case "key_reused":
            raise FindingKeyReused
        case "closed":
            finding = ReconciliationFinding.objects.get(pk=finding_id)
            unfreeze_after(finding, event_id=outcome.event_id, note=note, actor_id=actor_id)
    event = FindingEvent.objects.get(pk=outcome.event_id)
    return Closed(event, is_replay=outcome.outcome == "replayed")
