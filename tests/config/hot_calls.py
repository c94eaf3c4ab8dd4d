"""Hot calls: for each, its preconditions and how much it may read."""

from __future__ import annotations

import datetime as dt
import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import connections, transaction
from django.utils import timezone

from accounts.callers import api_key_of_hash
from accounts.key_format import hash_of
from accounts.models import ApiKey
from config.db.counting import MOST_COUNTED
from ledger.listings import LedgerRows, printed_holds_of
from ledger.models import EntryReason, EntryType
from ledger.selectors import balance_of, holds_of, ledger_of
from ledger.services.entries import post_entry
from ledger.services.holds import extend_hold, open_hold, release_hold
from tests.config.explaining import explained
from tests.config.long_histories import Account
from tests.usage.batches import asked
from usage.key_verdicts import verdict_on
from usage.listings import RequestRows
from usage.request_pages import RequestPages
from usage.selectors import lifetime_totals_of, overview_of, spending_of_key, usage_of
from usage.services.charges.calls import AskedCharge, charge_together
from usage.services.charges.charge import charge_request
from usage.services.charges.refunds import refund_charge
from usage.services.events import Event, record_events
from usage.services.forecasts.selectors import forecast_of
from usage.services.holding import AskedCapture, AskedHold, capture_hold, hold_for_request
from usage.windows import start_of_period

MOST_BUFFERS = 200
MOST_SUMS = 60 * 4  # a sum for each day and endpoint: does not grow with the requests
MOST_PER_REQUEST = 25  # of those that come in batches: a dozen index entries are made for each
REQUESTS_A_BUFFER = 30  # in the table and its index together

NOW = timezone.now()
DAYS_AGO = {days: NOW - dt.timedelta(days=days) for days in (1, 20, 30, 40)}


@dataclass(frozen=True)
class Call:
    """A call, with the account and the result of `after`.

    So many `requests` are dealt with at once; `within_a_day` a page may lie behind many others of the same day, and the
    whole day may be read for it. A call that `counts` reads up to MOST_COUNTED rows, each on a page of its own.
    """

    make: Callable[..., Any]
    after: Callable[[Account], Any] | None = None
    requests: int = 0
    within_a_day: bool = False
    counts: bool = False

    def check(self, account: Account) -> None:
        """Make the call, check that no statement reads too much or scans a big table, and undo it."""
        before = transaction.savepoint()
        made = () if self.after is None else (self.after(account),)
        with explained() as readings:
            self.make(account, *made)
        transaction.savepoint_rollback(before)

        most = MOST_BUFFERS + self.requests * MOST_PER_REQUEST
        if self.within_a_day:
            most += account.requests_a_day // REQUESTS_A_BUFFER
        if self.counts:
            most += MOST_COUNTED
        assert readings
        for reading in readings:
            assert reading.buffers <= most + (MOST_SUMS if "usage_dailyusage" in reading.statement else 0), reading
            assert reading.scanned == [], reading


def key() -> str:
    return uuid.uuid4().hex


def entries(account: Account, **filters: Any) -> Any:
    return ledger_of(user_id=account.id, **filters)


def log(account: Account, **filters: Any) -> RequestPages:
    return RequestPages(user_id=account.id, now=NOW, **filters)


def printed_entries(account: Account, **filters: Any) -> LedgerRows:
    return LedgerRows(**vars(entries(account, **filters)))


def printed_log(account: Account, **filters: Any) -> RequestRows:
    return RequestRows(user_id=account.id, now=NOW, **filters)


def printed_holds(account: Account, status: str | None = None) -> Any:
    return printed_holds_of(user_id=account.id, now=NOW, status=status)


def charged(account: Account, **fields: Any) -> Any:
    named = {} if "key_hash" in fields else {"user_id": account.id}
    return charge_request(AskedCharge(endpoint="search", **named, **{"idempotency_key": key()} | fields))


def charged_by_key(account: Account, *_: Any, **fields: Any) -> Any:
    return charged(account, key_hash=hash_of(account.limited_key), **fields)


def charged_together(account: Account, *keys: str, limited: bool = False) -> Any:
    """Charge fifty at once, two of them under keys that were used long ago."""
    named = {"key_hash": hash_of(account.limited_key)} if limited else {"user_id": account.id}
    keys = ("key-777", "key-44444", *map(str, range(48)))
    return charge_together([asked(idempotency_key=each)._replace(**named) for each in keys])


def posted(account: Account) -> Any:
    return post_entry(
        user_id=account.id,
        type=EntryType.CREDIT,
        reason=EntryReason.GRANT,
        amount=Decimal(1),
        description="",
        operation="test",
        idempotency_key=key(),
    )


def held(account: Account) -> Any:
    return open_hold(user_id=account.id, credits=Decimal(1), expires_in_seconds=60, idempotency_key=key()).hold


def held_for_request(account: Account) -> Any:
    key_hash = hash_of(account.limited_key)
    return hold_for_request(
        AskedHold(key_hash=key_hash, endpoint="search", units=Decimal(2), idempotency_key=key())
    ).hold


def captured(_: Account, hold: Any, **fields: Any) -> Any:
    return capture_hold(AskedCapture(hold_id=hold.pk, idempotency_key=key(), **fields))


def refunded(_: Account, charge: Any, **fields: Any) -> Any:
    return refund_charge(charge_id=charge.id, reason="x", **{"idempotency_key": key()} | fields)


def partly_refunded(account: Account) -> Any:
    charge = charged_by_key(account)
    for n in range(3):
        refunded(account, charge, credits=Decimal("0.1"), idempotency_key=f"part {n}")
    return charge


def reported(account: Account) -> Any:
    """Report twenty events, some known, some late, some by the key and some for the customer."""
    subjects = (account.limited_key, str(account.id))
    events = [
        Event(
            id=f"event-{n}",
            source="plans",
            subject=subjects[n % 2],
            endpoint="search",
            time=NOW - dt.timedelta(days=n % 3, minutes=1),
        )
        for n in range(18)
    ]
    return record_events([*events, *events[:2]], now=timezone.now())


def a_month_ago(_: Account) -> None:
    """Move the count of the limited key to another period, without calls since."""
    with connections["default"].cursor() as cursor:
        cursor.execute("UPDATE usage_keyspending SET (began_on, counted_on) = (began_on - 62, counted_on - 62)")


def verified(account: Account, *_: Any) -> Any:
    return verdict_on(key_hash=hash_of(account.limited_key), endpoint="search", method="", units=Decimal(1))


def verified_without_limit(account: Account) -> Any:
    return verdict_on(key_hash=hash_of(account.key), endpoint="search", method="", units=Decimal(1))


def limited_now(account: Account) -> None:
    """Give a limit to a key that had none, which counts what it has spent."""
    with connections["default"].cursor() as cursor:
        cursor.execute("UPDATE accounts_apikey SET spending_limit = 1000 WHERE key_hash = %s", [hash_of(account.key)])
        cursor.execute("SELECT usage_count_key(%s)", [hash_of(account.key)])  # as the disabled trigger does


def spent(account: Account) -> Any:
    found = ApiKey.objects.get(key_hash=hashlib.sha256(account.limited_key.encode()).digest())
    return spending_of_key(found, now=timezone.now())


CALLS = {
    "balance": Call(lambda account: balance_of(user_id=account.id)),
    "life": Call(lambda account: lifetime_totals_of(user_id=account.id)),
    "usage of this month": Call(
        lambda account: usage_of(user_id=account.id, start=start_of_period("monthly", NOW), end=NOW, now=NOW)
    ),
    "forecast": Call(lambda account: forecast_of(user_id=account.id, now=NOW)),
    "usage from noon to noon": Call(
        lambda account: usage_of(user_id=account.id, start=DAYS_AGO[40], end=DAYS_AGO[20], now=NOW)
    ),
    "ledger, first page": Call(lambda account: entries(account).page(limit=50, offset=0)),
    "ledger, deep page": Call(lambda account: entries(account).page(limit=50, offset=45_000)),
    "ledger, deep cursor": Call(lambda account: entries(account).after([5_000], limit=50)),
    "ledger, count": Call(lambda account: entries(account).count()),
    "ledger, days": Call(
        lambda account: entries(account, start=DAYS_AGO[30], end=DAYS_AGO[20]).page(limit=50, offset=100)
    ),
    "ledger, debits": Call(lambda account: entries(account, type="debit").page(limit=50, offset=0)),
    "ledger, credits": Call(lambda account: entries(account, type="credit").page(limit=50, offset=0)),
    "ledger, credits by cursor": Call(lambda account: entries(account, type="credit").after([9_000], limit=50)),
    "ledger, reference": Call(lambda account: entries(account, reference="request-777").page(limit=50, offset=0)),
    "ledger, count of a reference": Call(lambda account: entries(account, reference="request-777").count()),
    "requests, first page": Call(lambda account: log(account).page(limit=50, offset=0)),
    "requests, deep page": Call(lambda account: log(account).page(limit=50, offset=45_000), within_a_day=True),
    "requests, cursor": Call(
        lambda account: log(account).after([DAYS_AGO[30].isoformat(), 2**60], limit=50), within_a_day=True
    ),
    "requests, endpoint": Call(
        lambda account: log(account, endpoint="search").page(limit=50, offset=3_000), within_a_day=True
    ),
    "requests, days": Call(lambda account: log(account, start=DAYS_AGO[30], end=DAYS_AGO[20]).page(limit=50, offset=0)),
    "ledger, printed": Call(lambda account: printed_entries(account).page(limit=50, offset=0)),
    "ledger, printed, deep": Call(lambda account: printed_entries(account).page(limit=50, offset=45_000)),
    "ledger, printed, deep cursor": Call(lambda account: printed_entries(account).after([5_000], limit=50)),
    "ledger, printed, credits": Call(lambda account: printed_entries(account, type="credit").page(limit=50, offset=0)),
    "ledger, printed, reference": Call(
        lambda account: printed_entries(account, reference="request-777").page(limit=50, offset=0)
    ),
    "ledger, printed, count of debits": Call(
        lambda account: printed_entries(account, type="debit").count(), counts=True
    ),
    "ledger, printed, count of credits": Call(
        lambda account: printed_entries(account, type="credit").count(), counts=True
    ),
    "ledger, printed, count of a reference": Call(
        lambda account: printed_entries(account, reference="request-777").count()
    ),
    "requests, printed": Call(lambda account: printed_log(account).page(limit=50, offset=0)),
    "requests, printed, deep": Call(
        lambda account: printed_log(account).page(limit=50, offset=45_000), within_a_day=True
    ),
    "requests, printed, cursor": Call(
        lambda account: printed_log(account).after([DAYS_AGO[30].isoformat(), 2**60], limit=50), within_a_day=True
    ),
    "holds, printed": Call(lambda account: printed_holds(account).page(limit=50, offset=0)),
    "holds, printed, deep cursor": Call(lambda account: printed_holds(account).after([1_000], limit=50)),
    "open holds, printed": Call(lambda account: printed_holds(account, status="open").page(limit=50, offset=0)),
    "overview": Call(
        lambda account: overview_of(user_id=account.id, start=start_of_period("monthly", NOW), end=NOW, now=NOW)
    ),
    "holds": Call(lambda account: list(holds_of(user_id=account.id, now=NOW)[:50])),
    "open holds": Call(lambda account: list(holds_of(user_id=account.id, now=NOW, status="open")[:50])),
    "key": Call(lambda account: api_key_of_hash(hash_of(account.key))),
    "charge": Call(charged),
    "charge by key": Call(lambda account: charged(account, key_hash=hash_of(account.key))),
    "charge by a limited key": Call(charged_by_key),
    "charge by a limited key, first of a month": Call(charged_by_key, after=a_month_ago),
    "charge of an amount": Call(lambda account: charged(account, credits=Decimal("0.5"))),
    "charge, again": Call(
        lambda account, _: charged(account, idempotency_key="again"),
        after=lambda account: charged(account, idempotency_key="again"),
    ),
    "charges together": Call(charged_together, requests=50),
    "charges together by a limited key": Call(lambda account: charged_together(account, limited=True), requests=50),
    "entry": Call(posted),
    "hold": Call(held),
    "hold for a request": Call(held_for_request),
    "capture": Call(captured, after=held_for_request),
    "capture of a part": Call(
        lambda account, hold: captured(account, hold, credits=Decimal(1), final=False), after=held_for_request
    ),
    "capture of nothing": Call(lambda account, hold: captured(account, hold, status=500), after=held_for_request),
    "release": Call(lambda _, hold: release_hold(hold_id=hold.pk, idempotency_key="once"), after=held_for_request),
    "extend": Call(
        lambda _, hold: extend_hold(hold_id=hold.pk, expires_in_seconds=900, idempotency_key="once"),
        after=held_for_request,
    ),
    "refund": Call(refunded, after=charged_by_key),
    "refund of what is left": Call(refunded, after=partly_refunded),
    "events": Call(reported, requests=20),
    "charge by a key whose limit was just set": Call(
        lambda account, _: charged(account, key_hash=hash_of(account.key)), after=limited_now
    ),
    "verdict on a key": Call(verified),
    "verdict on a key without a limit": Call(verified_without_limit),
    "verdict on a key, first of a month": Call(verified, after=a_month_ago),
    "spending of a key": Call(spent),
}

# Without statistics about debits, PostgreSQL expects a handful and sorts them all, until autovacuum has
# looked: a minute after the first charges.
UNKNOWN_TO_THE_YOUNG = {"ledger, debits", "ledger, printed, count of debits"}
