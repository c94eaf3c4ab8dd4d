"""Rounds of deliveries: a small pool of senders, so that a slow endpoint does not delay the others."""

from __future__ import annotations

import datetime as dt
import logging
import random
import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field

from django.db import Error
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from accounts.models import DeliveryState
from accounts.providers.webhook_post import Answer, post
from accounts.services.webhooks.deliveries import (
    PreparedDelivery,
    claim_deliveries,
    endpoints_due,
    fail_deliveries_of_disabled,
    note_attempt,
)
from config.db.prepared import is_connection_lost
from config.rounds import Round

SENDERS = 16
IN_FLIGHT_PER_ENDPOINT = 2
_USER_AGENT = "Tollbook-Webhooks/1"

logger = logging.getLogger(__name__)

Clock = Callable[[], dt.datetime]
Send = Callable[[PreparedDelivery, dt.datetime], Answer]


@dataclass
class RoundResult:
    """The result of a round: attempts by outcome, and deliveries that failed because their endpoint is off."""

    attempts: Counter[str] = field(default_factory=Counter)
    given_up: int = 0


@dataclass(frozen=True)
class _Attempt:
    prepared: PreparedDelivery
    began_at: dt.datetime


def signed_headers(prepared: PreparedDelivery, now: dt.datetime) -> dict[str, str]:
    """Return the headers of Standard Webhooks 1.0: the message's id, the time, and a signature by each secret."""
    body = prepared.body.decode()
    signatures = [Webhook(secret).sign(prepared.message_id, now, body) for secret in prepared.secrets]
    return {
        "Content-Type": "application/json",
        "User-Agent": _USER_AGENT,
        "webhook-id": prepared.message_id,
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": " ".join(signatures),
    }


def send_prepared(prepared: PreparedDelivery, now: dt.datetime) -> Answer:
    """Make one attempt, without the database."""
    return post(prepared.url, body=prepared.body, headers=signed_headers(prepared, now))


def deliver_due(
    endpoints: Round, *, seconds: float, clock: Clock = timezone.now, send: Send = send_prepared
) -> RoundResult:
    """Deliver what is due, and what falls due meanwhile, for at most `seconds`; then finish what has begun.

    A claim or update that fails ends that endpoint's turn and is left to the next round. Only the calling thread uses
    the database, and no transaction is open during a network call. Several rounds may run at once, on any number of
    machines.
    """
    done = RoundResult(given_up=fail_deliveries_of_disabled(endpoints, now=clock()))
    until = time.monotonic() + seconds
    attempts: dict[Future[Answer], _Attempt] = {}
    with ThreadPoolExecutor(max_workers=SENDERS, thread_name_prefix="webhook") as pool:
        while True:
            claimed = _claim(endpoints, attempts, clock()) if time.monotonic() < until else []
            for prepared in claimed:
                began_at = clock()
                attempts[pool.submit(send, prepared, began_at)] = _Attempt(prepared, began_at)
            if not attempts:
                return done
            landed, _ = wait(attempts, return_when=FIRST_COMPLETED, timeout=0 if claimed else 1)
            for future in landed:
                attempt = attempts.pop(future)
                with endpoints.turn(attempt.prepared.endpoint_id):
                    done.attempts[_note(future, attempt, clock)] += 1


def _claim(endpoints: Round, attempts: dict[Future[Answer], _Attempt], now: dt.datetime) -> list[PreparedDelivery]:
    free = SENDERS - len(attempts)
    if free <= 0:
        return []
    under_way = Counter(attempt.prepared.endpoint_id for attempt in attempts.values())
    busy = [endpoint for endpoint, count in under_way.items() if count >= IN_FLIGHT_PER_ENDPOINT]
    busy += [endpoint for endpoint in endpoints.failed if isinstance(endpoint, int)]
    try:
        return claim_deliveries(now=now, most=free, busy=busy)
    except Error as error:
        if is_connection_lost(error):
            raise
    return _claim_one_by_one(endpoints, now, most=free, busy=busy)


def _claim_one_by_one(endpoints: Round, now: dt.datetime, *, most: int, busy: list[int]) -> list[PreparedDelivery]:
    """Claim for each endpoint separately, after a claim for all of them failed because of one."""
    claimed: list[PreparedDelivery] = []
    for endpoint_id in endpoints_due(now=now, busy=busy)[:most]:
        with endpoints.turn(endpoint_id):
            claimed += claim_deliveries(now=now, most=1, only=endpoint_id)
    return claimed


def _note(landed: Future[Answer], attempt: _Attempt, clock: Clock) -> DeliveryState:
    broken = landed.exception()
    if broken is not None:  # a bug of ours: it must not stop the other deliveries
        logger.error("Delivery %s could not be tried.", attempt.prepared.delivery_id, exc_info=broken)
    return note_attempt(
        prepared=attempt.prepared,
        answer=landed.result() if broken is None else Answer(None, "It could not be sent.", 0),
        at=attempt.began_at,
        now=clock(),
        jitter=random.random(),  # noqa: S311  jitter, not a secret
    )
