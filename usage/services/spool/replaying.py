"""Replay a spool: settle each waiting request as it would have been settled when it happened."""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from django.db import transaction
from django.utils import timezone

from accounts.models import ApiKey
from config.cli.sentences import sentence_of
from config.rounds import Round
from ledger.errors import LedgerRefusal
from usage.errors import CustomerKeyInvalid, UsageRefusal
from usage.services.metered_requests import Settled, open_request, settle_request
from usage.services.spool.files import Spool
from usage.services.spool.lines import NotASpooledRequest, SpooledRequest, from_line


@dataclass
class Replay:
    """The result of a run. `kept` lines stay in the spool: file, line number, and reason."""

    read: int = 0
    settled: int = 0
    duplicates: int = 0
    credits: Decimal = Decimal(0)
    kept: list[tuple[str, int, str]] = field(default_factory=list)


def replay_spool(spool: Spool, customers: Round) -> Replay:
    """Settle the waiting requests, a file at a time.

    Lines that cannot be settled or read stay, and so do all later ones of a customer whose turn fails. A run that is
    killed can be run again: a line that was settled before is recognised by its own key, or by its hold.
    """
    replay = Replay()
    for path in spool.claim():
        spool.keep(path, _replay_file(path, replay, customers))
    return replay


def rehearse_replay(spool: Spool, customers: Round) -> Replay:
    """Replay in one transaction, and roll it back; the files stay unchanged."""
    replay = Replay()
    with transaction.atomic():
        for path in spool.files():
            _replay_file(path, replay, customers)
        transaction.set_rollback(True)
    return replay


def _replay_file(path: Path, replay: Replay, customers: Round) -> list[bytes]:
    """Settle a file's lines, and return those that were not settled."""
    kept = []
    with path.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            replay.read += 1
            try:
                settled = _settle_in_turn(from_line(line), customers)
            except (LedgerRefusal, UsageRefusal, NotASpooledRequest, _TurnFailed) as reason:
                replay.kept.append((path.name, number, str(reason)))
                kept.append(line if line.endswith(b"\n") else line + b"\n")
                continue
            replay.settled += not settled.is_repeat
            replay.duplicates += settled.is_repeat
            replay.credits += Decimal(0) if settled.is_repeat else settled.credits
    return kept


class _TurnFailed(Exception):
    """A turn of this customer failed otherwise than by a refusal: their requests are left to the next run."""


def _settle_in_turn(spooled: SpooledRequest, customers: Round) -> Settled:
    """Settle a request in a turn of its customer, unless an earlier turn of theirs has failed in this run.

    :raises LedgerRefusal, UsageRefusal: as `_settle`
    :raises _TurnFailed: if the turn fails, or one before it has
    """
    name = _customer_of(spooled)
    done: Settled | LedgerRefusal | UsageRefusal | None = None
    if name not in customers.failed:
        with customers.turn(name):
            try:
                done = _settle(spooled)
            except (LedgerRefusal, UsageRefusal) as refusal:
                done = refusal
    if isinstance(done, LedgerRefusal | UsageRefusal):
        raise done
    if done is None:
        raise _TurnFailed(sentence_of(customers.failed[name]))
    return done


def _customer_of(spooled: SpooledRequest) -> object:
    """Return the name of the customer: their id, or the prefix of their key."""
    if spooled.hold is not None:
        return spooled.hold.user_id
    if spooled.announced.user_id is not None:
        return spooled.announced.user_id
    api_key = ApiKey.objects.filter(key_hash=spooled.announced.key_hash).first()
    return "of an unknown key" if api_key is None else api_key.user_id


def _settle(spooled: SpooledRequest) -> Settled:
    metadata = {"occurred_at": spooled.occurred_at.isoformat()}
    if spooled.hold is not None:
        return settle_request(spooled.announced, spooled.outcome, spooled.hold, metadata=metadata)
    announced = spooled.announced._replace(is_admitted=True)  # its work is done: no call is made now
    try:
        opened = open_request(announced, now=timezone.now())
    except CustomerKeyInvalid:
        announced = announced._replace(user_id=_owner_then(spooled), key_hash=None)
        opened = open_request(announced, now=timezone.now())
    if opened.is_repeat:
        return Settled(Decimal(0), is_repeat=True)
    return settle_request(announced, spooled.outcome, opened.hold, metadata=metadata)


def _owner_then(spooled: SpooledRequest) -> int:
    """Return the id of the customer whose key was live when the request happened, even if it has ended since.

    :raises CustomerKeyInvalid: if it was not live then
    """
    api_key = ApiKey.objects.filter(key_hash=spooled.announced.key_hash, user__isnull=False).first()
    at = spooled.occurred_at
    if api_key is None or api_key.user_id is None or api_key.created_at > at:
        raise CustomerKeyInvalid
    if any(end is not None and end <= at for end in (api_key.revoked_at, api_key.expires_at)):
        raise CustomerKeyInvalid
    return api_key.user_id
