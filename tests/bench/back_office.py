"""What the pages of the back office cost on a large installation: `python -m tests.bench.back_office`.

It fills two PostgreSQL of its own in memory or in the temp folder, one with a tenth of the entries and requests of the
other, asks both for each page as a superuser, and prints a Markdown table: statements, buffers of our tables read on
both, and the median of five tries on the larger one. It fails if a page takes more than 15 statements, or reads more
than twice as much where there is ten times as much and more than a page of rows.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

TRIES = 5
ENTRIES, REQUESTS, CUSTOMERS = 1_000_000, 5_000_000, 10_000
MOST_STATEMENTS, MOST_TIMES = 15, 2
FEW_BUFFERS = 1_000  # what a page may read in any case (tests/growth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--entries", type=int, default=ENTRIES)
    parser.add_argument("--requests", type=int, default=REQUESTS)
    parser.add_argument("--measure", action="store_true", help="print what the pages of DATABASE_URL cost, as JSON")
    options = parser.parse_args()
    os.environ.setdefault("TOLLBOOK_ENV", "development")
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("LOG_LEVEL", "WARNING")
    if options.measure:
        print(json.dumps(_measured(options.entries)))
        return
    small = _of_an_installation(options.entries // 10, options.requests // 10)
    large = _of_an_installation(options.entries, options.requests)
    if not _printed(small, large):
        sys.exit(1)


def _printed(small: dict[str, Any], large: dict[str, Any]) -> bool:
    """Print the table, and return whether every page stays within its bounds."""
    print("| page | statements | buffers at a tenth | buffers | median ms |\n|---|---|---|---|---|")
    all_well = True
    for name, (statements, buffers, milliseconds) in large.items():
        before = small[name][1]
        is_well = statements <= MOST_STATEMENTS and buffers <= max(MOST_TIMES * before, FEW_BUFFERS)
        all_well &= is_well
        mark = "" if is_well else " **too much**"
        print(f"| {name} | {statements} | {before:,} | {buffers:,}{mark} | {milliseconds:.0f} |")
    return all_well


def _of_an_installation(entries: int, requests: int) -> dict[str, Any]:
    """Fill a database of its own, and return what its pages cost, measured by a process of its own."""
    from config.postgres.cluster import APP_ROLE, DATABASE, OWNER_ROLE
    from tests.bench.back_office_data import load
    from tests.cluster import TemporaryCluster

    database = TemporaryCluster()
    try:
        database.start()
        addresses = {
            "DATABASE_URL": database.cluster.url(user=APP_ROLE, dbname=DATABASE),
            "DATABASE_OWNER_URL": database.cluster.url(user=OWNER_ROLE, dbname=DATABASE),
        }
        environment = os.environ | addresses
        root = Path(__file__).resolve().parents[2]
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity", "0"]
        subprocess.run(migrate, cwd=root, env=environment, check=True)
        dsn = database.cluster.dsn(user=OWNER_ROLE, dbname=DATABASE)
        load(dsn, rows=entries, requests=requests, customers=CUSTOMERS)
        measure = [sys.executable, "-m", "tests.bench.back_office", "--measure", "--entries", str(entries)]
        done = subprocess.run(measure, cwd=root, env=environment, check=True, stdout=subprocess.PIPE, text=True)
        costs: dict[str, Any] = json.loads(done.stdout)
        return costs
    finally:
        database.remove()


def _measured(entries: int) -> dict[str, Any]:
    """Return statements, buffers and milliseconds of each page."""
    import django

    django.setup()
    from django.conf import settings
    from django.db import transaction

    from accounts.models import User
    from tests.backoffice import signed_in
    from tests.growth.measuring import cost_of

    settings.ALLOWED_HOSTS = ["testserver"]
    staff = User.objects.with_email("bench@example.com").first()
    staff = staff or User.objects.create_superuser("bench@example.com", full_name="Bench")
    client = signed_in(staff)
    costs = {}
    for name, address in _pages(entries):
        took = []
        for _ in range(TRIES):
            began = time.perf_counter()
            status = client.get(address).status_code
            took.append(1000 * (time.perf_counter() - began))
            if status != 200:
                sys.exit(f"{address} answered {status}")
        with transaction.atomic():
            cost = cost_of(lambda address=address: client.get(address))  # type: ignore[misc]
        costs[name] = (cost.statements, cost.buffers, statistics.median(took))
    return costs


def _pages(entries: int) -> Iterator[tuple[str, str]]:
    from django.urls import reverse

    from accounts.models import ApiKey
    from ledger.models import Entry
    from usage.models import RequestLog

    middle = entries // 2
    entry = Entry.objects.get(reference=f"reference-{middle}", seq=middle + 1)
    log = RequestLog.objects.get(pk=middle)
    big = entry.user

    def page(name: str, model: str, **query: object) -> tuple[str, str]:
        query_string = f"?{urlencode(query)}" if query else ""
        return f"{name}", reverse(f"admin:{model}_changelist") + query_string

    yield "front page", reverse("admin:index")
    yield "customer's page", reverse("admin:accounts_user_change", args=[big.pk])
    yield "customer's page: older", reverse("admin:accounts_user_change", args=[big.pk]) + f"?before=c{middle}.h999"
    yield "customer's settings", reverse("admin:accounts_user_settings", args=[big.pk])
    yield "customer's statement: the form", reverse("admin:accounts_user_statement", args=[big.pk])
    yield "adjust credits", reverse("admin:accounts_user_adjust_credits", args=[big.pk])
    yield "entry", reverse("admin:ledger_entry_change", args=[entry.pk])
    yield "explain an entry", reverse("admin:ledger_entry_explain", args=[entry.pk])
    yield "reverse an entry", reverse("admin:ledger_entry_reverse", args=[entry.pk])
    yield page("adjustment requests", "ledger_adjustmentrequest")
    yield page("staff log", "config_staffrecord")
    yield page("runs of reconciliation", "usage_reconciliationrun")
    yield page("findings", "usage_reconciliationfinding")
    yield page("grants", "ledger_grant")
    yield page("payments", "ledger_payment")
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
    yield page("entries: reference", "ledger_entry", q=f"reference-{entries // 8}")
    yield page("entries: a payment's reference", "ledger_entry", q=f"payment-{big.pk + 77}")
    yield page("entries: idempotency key", "ledger_entry", q=f"key-{entries // 3}")
    yield page("entries: what is nobody's", "ledger_entry", q="nothing-like-it")
    yield page("entries: email and reference", "ledger_entry", q=f"{big.email} reference-{entries // 8}")
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
    yield page("requests: reference", "usage_requestlog", q=f"reference-{entries // 8}")
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
