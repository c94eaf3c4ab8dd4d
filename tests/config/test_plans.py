"""What the hot statements read, on an account with 50,000 entries and requests.

Whatever the statistics: fresh ones, or those of a young installation, with one entry a customer, after which the
account grew. (Statistics that know of no debit at all are the exception: see UNKNOWN_TO_THE_YOUNG.)
Everything is done by the owner in one transaction, which is rolled back.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Iterator
from decimal import Decimal
from typing import Any, NamedTuple

import pytest
from django.db import connections, transaction
from django.utils import timezone

from accounts import key_format
from accounts.callers import api_key_of_hash
from ledger.models import EntryReason, EntryType
from ledger.selectors import balance_of, holds_of, ledger_of
from ledger.services.entries import post_entry
from ledger.services.holds import open_hold, release_hold
from tests.config.explaining import explained
from tests.factories import ApiKeyFactory, UserFactory
from tests.usage.batches import asked
from usage.request_pages import RequestPages
from usage.selectors import life_of, usage_of
from usage.services.charge_calls import charge_together
from usage.services.charging import charge_request
from usage.services.prices import set_price
from usage.windows import start_of_period

MOST_BUFFERS = 200
MOST_SUMS = 60 * 4  # a sum for each day and endpoint: what they take does not grow with the requests
ROWS = 50_000
CUSTOMERS = 500

# Written past the doors, so that it takes seconds: the seals are empty.
_ENTRIES = """
    INSERT INTO ledger_entry (user_id, seq, type, reason, amount, balance_after, description, reference, metadata,
                              operation, idempotency_key, fingerprint, created_at, seal)
    SELECT u.id, g, CASE WHEN g %% 1000 = 1 THEN 'credit' ELSE 'debit' END,
        CASE WHEN g %% 1000 = 1 THEN 'grant' ELSE 'usage' END, CASE WHEN g %% 1000 = 1 THEN 1000 ELSE -1 END, 1000,
        'search', 'request-' || g, '{}', 'charge', 'key-' || g, '\\x00',
        now() - interval '60 days' * (1 - g / %(rows)s::float8), ''
    FROM accounts_user u, generate_series(%(first)s, %(rows)s) g WHERE u.id = ANY(%(users)s)
"""
_BALANCES = """
    INSERT INTO ledger_balance (user_id, balance, granted_total, seq, updated_at)
    SELECT id, 100000, 100000, %(rows)s, now() FROM accounts_user WHERE id = ANY(%(users)s)
    ON CONFLICT (user_id) DO UPDATE SET balance = excluded.balance, seq = excluded.seq, updated_at = excluded.updated_at
"""
_REQUESTS = """
    INSERT INTO usage_requestlog (user_id, endpoint, path, method, status, credits, entry_id, source, occurred_at)
    SELECT u.id, (ARRAY['search', 'detect', '*', '/v1/items/{id}'])[1 + g %% 4], '/x', 'GET', 200, 1, 1, 'plans',
        now() - interval '60 days' * (1 - g / %(rows)s::float8)
    FROM accounts_user u, generate_series(%(first)s, %(rows)s) g WHERE u.id = ANY(%(users)s)
"""
_SUMS = """
    INSERT INTO usage_dailyusage (user_id, day, endpoint, successful, failed, rejected, credits)
    SELECT user_id, (occurred_at AT TIME ZONE 'UTC')::date, endpoint, count(*), 0, 0, sum(credits)
    FROM usage_requestlog WHERE source = 'plans' AND user_id = ANY(%(users)s) GROUP BY 1, 2, 3
    ON CONFLICT (user_id, day, endpoint) DO UPDATE SET successful = excluded.successful, credits = excluded.credits
"""
_HOLDS = """
    INSERT INTO ledger_hold (user_id, credits, status, expires_at, settled_at, idempotency_key, fingerprint, created_at)
    SELECT u.id, 1, 'released', now(), now(), 'hold-' || g, '\\x00', now() - interval '1 hour'
    FROM accounts_user u, generate_series(%(first)s, %(rows)s / 10) g WHERE u.id = ANY(%(users)s)
"""
_TABLES = (
    "ledger_entry, ledger_balance, ledger_hold, usage_requestlog, usage_dailyusage, accounts_apikey, accounts_user"
)


class Account(NamedTuple):
    """The customer with the long history, and the text of a key of theirs."""

    id: int
    key: str
    is_young: bool


def _write(cursor: Any, users: list[int], *, first: int, rows: int) -> None:
    for statement in (_ENTRIES, _BALANCES, _REQUESTS, _SUMS, _HOLDS):
        cursor.execute(statement, {"users": users, "first": first, "rows": rows})


def _grow(cursor: Any, *, young: bool) -> Account:
    """Make customers with one entry each, and the account that has 50,000; statistics are taken before or after."""
    now = timezone.now()
    for days in (0, 31, 62):
        cursor.execute("SELECT usage_ensure_partition(%s)", [now - dt.timedelta(days=days)])
    cursor.execute(
        "SELECT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal AND tgparentid = 0 GROUP BY 1"
    )
    for (table,) in cursor.fetchall():
        cursor.execute(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    cursor.execute(
        "INSERT INTO accounts_user (email, full_name, password, is_active, is_staff, is_superuser, created_at)"
        " SELECT 'plans' || g || '@example.com', '', '', true, false, false, now() FROM generate_series(1, %s) g"
        " RETURNING id",
        [CUSTOMERS],
    )
    customers = [id for (id,) in cursor.fetchall()]
    big = UserFactory(password=None)
    key = ApiKeyFactory(user=big).raw
    set_price(endpoint="search", credits=Decimal(1), effective_from=now - dt.timedelta(days=90))
    _write(cursor, [*customers, big.pk], first=1, rows=1)
    if young:
        cursor.execute(f"ANALYZE {_TABLES}")
    _write(cursor, [big.pk], first=2, rows=ROWS)
    if not young:
        cursor.execute(f"ANALYZE {_TABLES}")
    return Account(big.pk, key, young)


@pytest.fixture(scope="module", params=["fresh statistics", "statistics of a young installation"])
def account(request, django_db_setup, django_db_blocker) -> Iterator[Account]:
    """Let Django speak as the owner, in a transaction in which the account has its history."""
    usual = connections["default"]
    with django_db_blocker.unblock():
        owner = connections.create_connection("owner")
        owner.alias = "default"
        connections["default"] = owner
        try:
            with transaction.atomic():
                with owner.cursor() as cursor:
                    cursor.execute("SET LOCAL statement_timeout = 0")
                    yield _grow(cursor, young="young" in request.param)
                transaction.set_rollback(True)
            with owner.cursor() as cursor:  # gives the room back: the next tests count what is read, too
                cursor.execute(f"VACUUM (ANALYZE) {_TABLES}")
        finally:
            owner.close()
            connections["default"] = usual


NOW = timezone.now()
DAYS_AGO = {days: NOW - dt.timedelta(days=days) for days in (1, 20, 30, 40)}


def entries(account: Account, **asked: Any) -> Any:
    return ledger_of(user_id=account.id, **asked)


def log(account: Account, **asked: Any) -> RequestPages:
    return RequestPages(user_id=account.id, now=NOW, **asked)


def charged(account: Account, **asked: Any) -> Any:
    named = {} if "key_hash" in asked else {"user_id": account.id}
    return charge_request(endpoint="search", **named, **{"idempotency_key": uuid.uuid4().hex} | asked)


def charged_together(account: Account) -> Any:
    """Six at once, two of them under keys that were used long ago."""
    keys = ["key-777", "key-44444", *map(str, range(4))]
    return charge_together([asked(idempotency_key=key)._replace(user_id=account.id) for key in keys])


def held(account: Account) -> Any:
    return open_hold(
        user_id=account.id, credits=Decimal(1), expires_in_seconds=60, idempotency_key=uuid.uuid4().hex
    ).hold


def posted(account: Account) -> Any:
    return post_entry(
        user_id=account.id,
        type=EntryType.CREDIT,
        reason=EntryReason.GRANT,
        amount=Decimal(1),
        description="",
        operation="test",
        idempotency_key=uuid.uuid4().hex,
    )


CALLS = {
    "balance": lambda account: balance_of(user_id=account.id),
    "life": lambda account: life_of(user_id=account.id),
    "usage of this month": lambda account: usage_of(
        user_id=account.id, start=start_of_period("monthly", NOW), end=NOW, now=NOW
    ),
    "usage from noon to noon": lambda account: usage_of(
        user_id=account.id, start=DAYS_AGO[40], end=DAYS_AGO[20], now=NOW
    ),
    "ledger, first page": lambda account: entries(account).page(limit=50, offset=0),
    "ledger, deep page": lambda account: entries(account).page(limit=50, offset=45_000),
    "ledger, deep cursor": lambda account: entries(account).after([5_000], limit=50),
    "ledger, count": lambda account: entries(account).count(),
    "ledger, days": lambda account: entries(account, start=DAYS_AGO[30], end=DAYS_AGO[20]).page(limit=50, offset=100),
    "ledger, debits": lambda account: entries(account, type="debit").page(limit=50, offset=0),
    "ledger, credits": lambda account: entries(account, type="credit").page(limit=50, offset=0),
    "ledger, credits by cursor": lambda account: entries(account, type="credit").after([9_000], limit=50),
    "ledger, reference": lambda account: entries(account, reference="request-777").page(limit=50, offset=0),
    "ledger, count of a reference": lambda account: entries(account, reference="request-777").count(),
    "requests, first page": lambda account: log(account).page(limit=50, offset=0),
    "requests, deep page": lambda account: log(account).page(limit=50, offset=45_000),
    "requests, cursor": lambda account: log(account).after([DAYS_AGO[30].isoformat(), 2**60], limit=50),
    "requests, endpoint": lambda account: log(account, endpoint="search").page(limit=50, offset=3_000),
    "requests, days": lambda account: log(account, start=DAYS_AGO[30], end=DAYS_AGO[20]).page(limit=50, offset=0),
    "holds": lambda account: list(holds_of(user_id=account.id, now=NOW)[:50]),
    "open holds": lambda account: list(holds_of(user_id=account.id, now=NOW, status="open")[:50]),
    "key": lambda account: api_key_of_hash(key_format.hash_of(account.key)),
    "charge": charged,
    "charge by key": lambda account: charged(account, key_hash=key_format.hash_of(account.key)),
    "charge of an amount": lambda account: charged(account, credits=Decimal("0.5")),
    "charges together": charged_together,
    "hold": held,
    "entry": posted,
}


# Where no statistics have heard of debits, PostgreSQL expects a handful and sorts them all, until autovacuum has
# looked: a minute after the first charges.
UNKNOWN_TO_THE_YOUNG = {"ledger, debits"}


@pytest.mark.parametrize("name", CALLS)
def test_a_long_history_costs_no_more_than_a_short_one(account, name):
    if account.is_young and name in UNKNOWN_TO_THE_YOUNG:
        pytest.skip("Nothing is known of debits yet.")
    before = transaction.savepoint()

    with explained() as readings:
        CALLS[name](account)
    transaction.savepoint_rollback(before)

    assert readings
    for reading in readings:
        assert reading.buffers <= MOST_BUFFERS + (MOST_SUMS if "usage_dailyusage" in reading.statement else 0), reading
        assert reading.scanned == [], reading


def test_a_release_and_a_repeated_charge_cost_no_more_either(account):
    before = transaction.savepoint()
    hold = held(account)
    charged(account, idempotency_key="again")

    with explained() as readings:
        release_hold(hold_id=hold.pk, idempotency_key="once")
        assert charged(account, idempotency_key="again").is_replay
    transaction.savepoint_rollback(before)

    assert {(reading.buffers <= MOST_BUFFERS, *reading.scanned) for reading in readings} == {(True,)}, readings


def test_what_reads_too_much_would_be_noticed(account):
    with explained() as readings, connections["default"].cursor() as cursor:
        cursor.execute("SELECT count(*) FROM ledger_entry WHERE description <> %s", ["x"])

    assert readings[0].buffers > MOST_BUFFERS
    assert readings[0].scanned == ["ledger_entry"]
