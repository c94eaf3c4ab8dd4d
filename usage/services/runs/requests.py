"""Runs of reconciliation that staff ask for: the request is a row, and a job carries it out."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple

from django import db
from django.db import IntegrityError, connections, transaction
from django.db.models import F
from django.utils import timezone

from config.cli.sentences import sentence_of
from config.rounds import Round
from ledger.services.reconciliation.checks import Scope
from usage.errors import RunUnderWay
from usage.models import ReconciliationRun, RequestedRun
from usage.models.requested_run import MOST_ATTEMPTS
from usage.services.findings.noting import note_findings
from usage.services.reconciliation import ALL_CHECKS, reconcile, remember_run
from usage.services.runs.whole import Say, beyond_the_snapshot

_KILLED = f"Its job was killed {MOST_ATTEMPTS} times before it was done. The server's log may say why."


class Requested(NamedTuple):
    """A request for a run, and whether this call made it or an earlier one with the same key."""

    request: RequestedRun
    is_replay: bool


@transaction.atomic
def request_run(*, actor_id: int, idempotency_key: str) -> Requested:
    """Ask for a full run. Repeating the call with its key returns the first request, whatever became of it.

    :raises RunUnderWay: if one that was asked for before waits or runs
    """
    made = {"actor_id": actor_id, "idempotency_key": idempotency_key}
    if (before := RequestedRun.objects.filter(**made).first()) is not None:
        return Requested(before, is_replay=True)
    try:
        with transaction.atomic():
            return Requested(RequestedRun.objects.create(**made), is_replay=False)
    except IntegrityError:  # by the unique constraints: another was first
        if (before := RequestedRun.objects.filter(**made).first()) is not None:
            return Requested(before, is_replay=True)
        raise RunUnderWay from None


def waiting_run() -> RequestedRun | None:
    """Return the run that was asked for and has not ended; the database allows one."""
    return RequestedRun.objects.select_related("actor").filter(finished_at=None).first()


def carry_out(request: RequestedRun, customers: Round, *, say: Say) -> ReconciliationRun | None:
    """Carry out a run that was asked for, and keep what it finds; None: it was given up, since its jobs were killed.

    The caller holds the run lock. A run whose job was killed is begun again.
    """
    if request.attempts >= MOST_ATTEMPTS:
        _end(request, failure=_KILLED)
        return None
    started_at = timezone.now()
    RequestedRun.objects.filter(pk=request.pk).update(
        attempts=F("attempts") + 1, started_at=started_at, checks_done=0, checks_total=len(ALL_CHECKS)
    )
    try:
        with _progress_of(request) as note_progress:
            checked, findings = reconcile(Scope(), on_check=note_progress)
        findings = [*findings, *beyond_the_snapshot(Scope(), checked, asks_providers=True, say=say)]
        with transaction.atomic():
            run = remember_run(Scope(), checked, findings, started_at=started_at, finished_at=timezone.now())
            _end(request, run=run)
    except Exception as error:
        with suppress(db.Error):
            _end(request, failure=sentence_of(error))
        raise
    note_findings(run, findings, customers)
    return run


def _end(request: RequestedRun, *, run: ReconciliationRun | None = None, failure: str = "") -> None:
    unfinished = RequestedRun.objects.filter(pk=request.pk, finished_at=None)
    unfinished.update(finished_at=timezone.now(), run=run, failure=failure)


@contextmanager
def _progress_of(request: RequestedRun) -> Iterator[Callable[[int], None]]:
    """Yield a function that stores how many checks are done, for others to see while the snapshot is still open."""
    outside = connections.create_connection("default")

    def note(done: int) -> None:
        with suppress(db.Error), outside.cursor() as cursor:  # progress is no reason to fail
            cursor.execute("UPDATE usage_requestedrun SET checks_done = %s WHERE id = %s", [done, request.pk])

    try:
        yield note
    finally:
        with suppress(db.Error):
            outside.close()
