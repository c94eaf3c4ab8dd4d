"""Metered requests: credits are held before the work, and taken for what it turned out to cost.

The same steps serve a request as it happens and one that waited in a spool (usage/services/spool/files.py) while the
database was unavailable: whichever comes first pays, and the other finds that it has been paid.
"""

from __future__ import annotations

import datetime as dt
import logging
from contextlib import suppress
from decimal import Decimal
from typing import Any, NamedTuple

from config.db.calls import call
from config.db.prepared import read_prepared
from ledger.errors import HoldSettled, IdempotencyKeyReused
from ledger.models import Entry, Hold, OperationKey
from ledger.services.holds import HoldChange
from usage.errors import CustomerKeyInvalid, IdempotencyKeySpent
from usage.models.outcomes import is_rejected
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import Charge, charge_request
from usage.services.customers import refuse_ended
from usage.services.holding import AskedCapture, AskedHold, capture_hold, hold_for_request

MOST_ATTEMPTS = 64
_PAYING = ("capture_hold", "charge")

logger = logging.getLogger(__name__)


class Announced(NamedTuple):
    """A request before its work: who pays, what to hold, and under which key.

    `credits` None: what `units` of the endpoint cost. A key is shared when the caller sent it: then it names every
    repetition of this request, and `digest` (SHA-256, hex) identifies the same request.
    """

    user_id: int | None
    key_hash: bytes | None
    endpoint: str
    method: str
    units: Decimal
    credits: Decimal | None
    expires_in_seconds: int
    key: str
    is_shared: bool = False
    digest: str | None = None
    is_admitted: bool = False  # counted among the calls a minute of its key already


class Outcome(NamedTuple):
    """The outcome of the work. Without `units` and `credits` it used what was announced; in credits, 0 or more."""

    status: int
    units: Decimal | None
    credits: Decimal | None
    latency_ms: int
    reference: str | None


class Opened(NamedTuple):
    """The hold of a request, and whether an earlier request with its key has already been worked on and settled.

    `number` counts the requests that share the hold beyond the one that opened it, from 1; 0 is that one.
    """

    hold: Hold
    is_repeat: bool
    number: int = 0


class Settled(NamedTuple):
    """What a request cost, and whether it had been settled before."""

    credits: Decimal
    is_repeat: bool


def open_request(announced: Announced, *, now: dt.datetime, most_repeats: int | None = None) -> Opened:
    """Hold what the request may cost at most.

    A shared key finds the hold of the earlier request. If that failed, or its hold expired unpaid, this one is another
    attempt, with a hold of its own. At most `most_repeats` requests share one hold beyond the first, over all
    processes: each is work that is not paid again.

    :raises InsufficientCredits: if less is available
    :raises PriceUnknown: if no price names the endpoint, and no credits were announced
    :raises CustomerKeyInvalid, CustomerInactive, UnknownCustomer: if the customer may not be charged
    :raises IdempotencyKeyReused: if the key was used for another request
    :raises IdempotencyKeySpent: if too many attempts with it have failed, or it was repeated too often
    """
    first = _hold(announced, attempt=1)
    if not (announced.is_shared and first.is_replay):
        return Opened(first.hold, is_repeat=False)
    refuse_ended(user_id=announced.user_id, key_hash=announced.key_hash, now=now)  # it is work, not a stored response
    keys = [_hold_key(announced, attempt) for attempt in range(1, MOST_ATTEMPTS + 1)]
    attempts = list(Hold.objects.filter(user_id=first.hold.user_id, idempotency_key__in=keys).order_by("id"))
    last = attempts[-1]
    if has_ended_well(last):
        return Opened(last, is_repeat=True, number=_number(last, most_repeats))
    if last.status_at(now) == "open":  # its twin is being worked on now: one of the two pays
        return Opened(last, is_repeat=False, number=_number(last, most_repeats))
    if len(attempts) == MOST_ATTEMPTS:
        raise IdempotencyKeySpent("Too many requests with this idempotency key have failed. Use a new one.")
    return Opened(_hold(announced, attempt=len(attempts) + 1).hold, is_repeat=False)


def settle_request(announced: Announced, outcome: Outcome, hold: Hold, *, metadata: dict[str, Any]) -> Settled:
    """Take what the work cost out of its hold, at most all that was held, and log the request.

    If the hold has expired meanwhile, or went to a twin of the request that failed, the same is charged from what is
    available. Repetition returns what was done.

    :raises InsufficientCredits: if the hold has expired, and less is available now
    """
    key = _outcome_key(hold, outcome)
    used = outcome.units is not None or outcome.credits is not None
    try:
        cost = _cost(announced, outcome, hold) if used else None
        asked = AskedCapture(hold_id=hold.pk, idempotency_key=key, metadata=metadata, **outcome._asdict())
        done = capture_hold(asked._replace(credits=cost))
        return Settled(done.hold.captured, done.is_replay)
    except (HoldSettled, IdempotencyKeyReused):
        is_lost = has_ended_well(hold) or (outcome.status >= 400 and not _has_run_out(hold))
    if is_lost:  # a twin has paid, or has failed like this one
        return Settled(Decimal(0), is_repeat=True)
    asked_instead = _asked_charge(announced, outcome, credits=_cost(announced, outcome, hold), key=key)
    try:
        done_instead = _charge(announced, hold, asked_instead._replace(metadata=metadata))
    except IdempotencyKeyReused:
        return Settled(Decimal(0), is_repeat=True)
    return Settled(done_instead.credits, done_instead.is_replay)


def log_repeat(announced: Announced, outcome: Outcome, opened: Opened) -> None:
    """Log a request that was worked on while another one with its key paid: it is counted, and costs nothing."""
    key = _key_of(opened.hold, f"repeat {opened.number}")
    _charge(announced, opened.hold, _asked_charge(announced, outcome, credits=Decimal(0), key=key))


def _number(hold: Hold, most_repeats: int | None) -> int:
    """Return the request's number among those that share the hold.

    :raises IdempotencyKeySpent: if as many as allowed share it already
    """
    if most_repeats is None:
        return 0
    number: int | None = call("usage_number_repeat", p_hold_id=hold.pk, p_most=most_repeats)[0]
    if number is None:
        raise IdempotencyKeySpent(
            "This request was worked on and paid before, and was repeated too often. Use a new idempotency key."
        )
    return number


def has_ended_well(hold: Hold) -> bool:
    """Return whether a request that succeeded was settled for this hold: from it, or by a charge in its place."""
    named = {"user_id": hold.user_id, "operation__in": _PAYING, "idempotency_key": _key_of(hold, "done")}
    return Entry.objects.filter(**named).exists() or OperationKey.objects.filter(**named).exists()


def _asked_charge(announced: Announced, outcome: Outcome, *, credits: Decimal, key: str) -> AskedCharge:
    return AskedCharge(
        endpoint=announced.endpoint,
        method=announced.method,
        credits=credits,
        units=announced.units if outcome.units is None else outcome.units,
        status=outcome.status,
        latency_ms=outcome.latency_ms,
        reference=outcome.reference,
        idempotency_key=key,
        is_admitted=True,  # the hold was its call
    )


def _charge(announced: Announced, hold: Hold, asked: AskedCharge) -> Charge:
    """Charge by the key that the request came with, whose limit it counts against, or by id if that has ended."""
    if announced.key_hash is not None:
        with suppress(CustomerKeyInvalid):
            return charge_request(asked._replace(key_hash=announced.key_hash))
    return charge_request(asked._replace(user_id=hold.user_id))


def _hold(announced: Announced, *, attempt: int) -> HoldChange:
    asked = AskedHold(
        user_id=announced.user_id,
        key_hash=announced.key_hash,
        credits=announced.credits,
        endpoint=announced.endpoint,
        method=announced.method,
        units=announced.units,
        expires_in_seconds=announced.expires_in_seconds,
        metadata={"request": announced.digest} if announced.digest else {},
        idempotency_key=_hold_key(announced, attempt),
        is_admitted=announced.is_admitted,
    )
    return hold_for_request(asked)


def _hold_key(announced: Announced, attempt: int) -> str:
    return f"metered {announced.key} {attempt}"


def _outcome_key(hold: Hold, outcome: Outcome) -> str:
    return _key_of(hold, "done" if outcome.status < 400 else "failed")


def _key_of(hold: Hold, ending: str) -> str:
    return f"metered {hold.pk} {ending}"


def _has_run_out(hold: Hold) -> bool:
    return Hold.objects.filter(pk=hold.pk, captured=0, status__in=("open", "expired")).exists()


def _cost(announced: Announced, outcome: Outcome, hold: Hold) -> Decimal:
    """Return what is owed for the work, in credits: never more than was held for it."""
    if is_rejected(outcome.status):
        return Decimal(0)
    units = announced.units if outcome.units is None else outcome.units
    charges_failures, by_units = _price_of(announced, units, hold.created_at)
    if outcome.status >= 400 and not charges_failures:
        return Decimal(0)
    if outcome.credits is not None:
        used = outcome.credits
    elif outcome.units is None or announced.credits is not None or by_units is None:
        used = hold.credits
    else:
        used = by_units
    if used > hold.credits:
        logger.error(
            "A request to %s used %s credits, but only %s were held for it: those are taken. "
            "Announce the most that a request may cost.",
            announced.endpoint,
            used,
            hold.credits,
        )
    return min(used, hold.credits)


def _price_of(announced: Announced, units: Decimal, at: dt.datetime) -> tuple[bool, Decimal | None]:
    """Return whether the endpoint's price charges failures, and the cost of these units."""
    rows = read_prepared(
        "SELECT found.charge_failures, usage_cost(found, NULL, %s::numeric, 200)"
        " FROM usage_find_price(%s::text, %s::text, %s::timestamptz) found WHERE found.id IS NOT NULL",
        [units, announced.endpoint, announced.method, at],
    )
    return rows[0] if rows else (False, None)
