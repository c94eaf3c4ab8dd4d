"""Time the pages of the back office on a large installation: `python -m tests.bench.back_office`.

It makes a PostgreSQL of its own in the temp folder, fills it (two minutes), asks for each page five times as a
superuser, and prints a Markdown table: statements, the median and the slowest of the five in milliseconds.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlencode

TRIES = 5
ROWS, CUSTOMERS = 1_000_000, 10_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--loaded", action="store_true", help="DATABASE_URL names a database filled before")
    loaded = parser.parse_args().loaded
    os.environ.setdefault("TOLLBOOK_ENV", "development")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    if loaded:
        _measure()
        return
    from config.postgres.cluster import DATABASE, OWNER_ROLE
    from tests.bench.back_office_data import load
    from tests.cluster import TemporaryCluster

    database = TemporaryCluster()
    try:
        database.start()
        _migrate()
        load(database.cluster.dsn(user=OWNER_ROLE, dbname=DATABASE), rows=ROWS, customers=CUSTOMERS)
        _measure()
    finally:
        database.remove()


def _migrate() -> None:
    import django
    from django.core.management import call_command

    django.setup()
    call_command("migrate", verbosity=0)


def _measure() -> None:
    import django

    django.setup()
    from django.conf import settings
    from django.db import connection
    from django.test import Client
    from django.test.utils import CaptureQueriesContext

    from accounts.models import User

    settings.ALLOWED_HOSTS = ["testserver"]
    staff = User.objects.with_email("bench@example.com").first()
    staff = staff or User.objects.create_superuser("bench@example.com", full_name="Bench")
    client = Client()
    client.force_login(staff)
    print("| page | statements | median ms | slowest ms |\n|---|---|---|---|")
    for name, address in _pages():
        took, count = [], 0
        for _ in range(TRIES):
            with CaptureQueriesContext(connection) as statements:
                began = time.perf_counter()
                answer = client.get(address)
                took.append(1000 * (time.perf_counter() - began))
            count = len(statements)
            if answer.status_code != 200:
                sys.exit(f"{address} answered {answer.status_code}")
        print(f"| {name} | {count} | {statistics.median(took):.0f} | {max(took):.0f} |")


def _pages() -> Iterator[tuple[str, str]]:
    from django.urls import reverse

    from accounts.models import ApiKey
    from ledger.models import Entry
    from usage.models import RequestLog

    entry = Entry.objects.get(reference="reference-500000", seq=500_001)
    log = RequestLog.objects.get(pk=500_000)
    big = entry.user

    def page(name: str, model: str, **query: object) -> tuple[str, str]:
        query_string = f"?{urlencode(query)}" if query else ""
        return f"{name}", reverse(f"admin:{model}_changelist") + query_string

    yield "front page", reverse("admin:index")
    yield "customer's page", reverse("admin:accounts_user_change", args=[big.pk])
    yield page("users", "accounts_user")
    yield page("users: part of an email", "accounts_user", q="customer77")
    yield page("users: id", "accounts_user", q=big.pk + 5_000)
    yield page("users: key prefix", "accounts_user", q=f"tb_live_{ApiKey.objects.all()[5000].prefix}")
    yield page("users: staff only", "accounts_user", is_staff__exact=1)
    yield page("users: one month", "accounts_user", created_at__year=2026, created_at__month=6)
    yield page("API keys", "accounts_apikey")
    yield page("API keys: part of an email", "accounts_apikey", q="customer77")
    yield page("subscriptions", "accounts_subscription")
    yield page("subscriptions: part of an email", "accounts_subscription", q="customer77")
    yield page("balances", "ledger_balance")
    yield page("balances: at or below zero", "ledger_balance", state="empty")
    yield page("entries", "ledger_entry")
    yield page("entries: page 200", "ledger_entry", p=200)
    yield page("entries: of one customer", "ledger_entry", user=big.pk)
    yield page("entries: id", "ledger_entry", q=entry.pk)
    yield page("entries: email", "ledger_entry", q=big.email)
    yield page("entries: reference", "ledger_entry", q="reference-123456")
    yield page("entries: a payment's reference", "ledger_entry", q=f"payment-{big.pk + 77}")
    yield page("entries: idempotency key", "ledger_entry", q="key-654321")
    yield page("entries: what is nobody's", "ledger_entry", q="nothing-like-it")
    yield page("entries: email and reference", "ledger_entry", q=f"{big.email} reference-123456")
    yield page("entries: credits", "ledger_entry", type__exact="credit")
    yield page("entries: goodwill", "ledger_entry", reason__exact="goodwill")
    yield page("entries: chargebacks (none)", "ledger_entry", reason__exact="chargeback")
    yield page("entries: one month", "ledger_entry", created_at__year=2026, created_at__month=10)
    yield page("entries: one day", "ledger_entry", created_at__year=2026, created_at__month=9, created_at__day=20)
    yield page("requests", "usage_requestlog")
    yield page("requests: page 200", "usage_requestlog", p=200)
    yield page("requests: of one customer", "usage_requestlog", user=big.pk)
    yield page("requests: id", "usage_requestlog", q=log.pk)
    yield page("requests: X-Request-Id", "usage_requestlog", q=log.request_id)
    yield page("requests: reference", "usage_requestlog", q="reference-123456")
    yield page("requests: what is nobody's", "usage_requestlog", q="nothing-like-it")
    yield page("requests: email", "usage_requestlog", q=big.email)
    for outcome in ("successful", "failed", "rejected", "unpaid"):
        yield page(f"requests: {outcome}", "usage_requestlog", outcome=outcome)
    yield page("requests: one month", "usage_requestlog", occurred_at__year=2026, occurred_at__month=10)
    yield page(
        "requests: one day", "usage_requestlog", occurred_at__year=2026, occurred_at__month=9, occurred_at__day=20
    )
    yield page("holds", "ledger_hold")
    yield page("holds: open", "ledger_hold", status__exact="open")
    yield page("holds: reference", "ledger_hold", q="work-5000")
    yield page("holds: idempotency key", "ledger_hold", q="hold-5000")
    yield page("prices", "usage_price")
    yield page("prices: endpoint", "usage_price", q="endpoint-77")


if __name__ == "__main__":
    main()
