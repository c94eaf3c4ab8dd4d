"""Files of adjustments: one request for all lines, which are posted one by one once the whole is allowed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import simplejson
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from config.db.prepared import sqlstate
from config.rounds import Round
from config.values.credits import plain
from ledger.adjustment_errors import AdjustmentFileKnown, AdjustmentFileRefused
from ledger.errors import BalanceLimitExceeded, IdempotencyKeyReused, LedgerRefusal
from ledger.models import AdjustmentLine, AdjustmentRequest, AdjustmentState, LineOutcome
from ledger.services.adjustments.announcing import tell_approvers
from ledger.services.adjustments.outcomes import AdjustmentOutcome, outcome_of, refusal_in
from ledger.services.adjustments.posting import stop_reloading_if_charged_back
from ledger.services.adjustments.reading import ReadLine, digest_of
from ledger.services.adjustments.requests import default_limits
from ledger.services.calls import ledger_call
from ledger.services.idempotency import fingerprint


@transaction.atomic
def request_adjustment_file(
    *, lines: Sequence[ReadLine], note: str, file_name: str, actor_id: int, idempotency_key: str
) -> AdjustmentOutcome:
    """Ask for all adjustments of a file; limits count the sum of its amounts without their signs.

    Nothing is posted yet: `post_lines` does that, at once if the limits allow it, else after approval. A file, or a
    line, that was sent before is refused, unless it was rejected or withdrawn. Repeating the call with its key returns
    the request of the first call.

    :raises AdjustmentFileRefused: if one of the lines cannot be posted
    :raises AdjustmentFileKnown: if the file or one of its lines was sent before
    :raises IdempotencyKeyReused: if the key was used for another file
    """
    digest = digest_of(lines)
    asked = fingerprint({"file": digest.hex(), "note": note, "author": actor_id})
    refused = [line.number for line in lines if line.refusal]
    if refused:  # as every line is that this very call has sent before
        sentence = f"{len(refused)} of {len(lines)} lines cannot be posted. Correct them in the file and send it again."
        return _replay(actor_id, idempotency_key, asked, sentence)
    try:
        found = ledger_call(
            "ledger_request_adjustment_file",
            p_lines=simplejson.dumps([_as_json(line) for line in lines]),
            p_note=note,
            p_file_name=file_name,
            p_file_sha256=digest,
            p_author_id=actor_id,
            p_idempotency_key=idempotency_key,
            p_fingerprint=asked,
            **default_limits(),
        )
    except IntegrityError as error:
        if sqlstate(error) != "23505":
            raise
        raise AdjustmentFileKnown(None) from error
    if found.outcome == "file_known":
        raise AdjustmentFileKnown(found.request_id)
    outcome = outcome_of(found, amount=None)
    if outcome.request.state == AdjustmentState.PENDING and not outcome.is_replay:
        tell_approvers(outcome.request, now=timezone.now())
    return outcome


def _replay(author_id: int, idempotency_key: str, asked: bytes, sentence: str) -> AdjustmentOutcome:
    found = AdjustmentRequest.objects.filter(author=author_id, user=None, idempotency_key=idempotency_key).first()
    if found is None:
        raise AdjustmentFileRefused(sentence)
    if bytes(found.fingerprint) != asked:
        raise IdempotencyKeyReused
    return AdjustmentOutcome(found, None, is_replay=True)


def lines_to_post(*, request_id: int | None = None) -> QuerySet[AdjustmentLine]:
    """Return the lines of approved files that are not posted yet, oldest first; of one request or of all."""
    waiting = AdjustmentLine.objects.filter(outcome=LineOutcome.WAITING, request__state=AdjustmentState.APPROVED)
    waiting = waiting if request_id is None else waiting.filter(request_id=request_id)
    return waiting.order_by("request_id", "id")


def post_lines(customers: Round, *, most: int, request_id: int | None = None) -> int:
    """Post at most `most` lines of approved files, each in a transaction of its own; return how many were settled.

    A line that the ledger refuses is settled too, with its reason. Several callers may run at once.
    """
    settled = 0
    for line in lines_to_post(request_id=request_id)[:most]:
        with customers.turn(line.user_id):
            _settle(line)
            settled += 1
    return settled


def _settle(line: AdjustmentLine) -> None:
    refusal: LedgerRefusal | None
    try:
        with transaction.atomic():
            found = ledger_call("ledger_settle_adjustment_line", p_line_id=line.pk, p_refusal=None)
            refusal = refusal_in(found, amount=line.amount)
            if found.outcome == "posted":
                stop_reloading_if_charged_back(
                    user_id=line.user_id, reason=line.reason, amount=line.amount, now=timezone.now()
                )
    except BalanceLimitExceeded as error:
        refusal = error
    if refusal is not None:
        ledger_call("ledger_settle_adjustment_line", p_line_id=line.pk, p_refusal=str(refusal))


def _as_json(line: ReadLine) -> dict[str, Any]:
    return {
        "number": line.number,
        "user_id": line.user and line.user.pk,
        "amount": line.amount and f"{plain(line.amount):f}",
        "reason": line.reason,
        "note": line.note,
        "reference": line.reference or None,
        "key": line.key.hex(),
    }
