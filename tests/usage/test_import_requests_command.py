import functools
import json
import os
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.db import connection

from config.cli.run_lock import run_lock
from ledger.selectors import balance_of
from tests.factories import customer_with
from tests.ledger.running import run
from tests.usage.metering import price, rolled_up
from usage.management.commands import import_requests
from usage.models import ImportedLine, RequestLog
from usage.services.imports import run as importing
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db


def line_of(user, **fields):
    return json.dumps(
        {"user_id": user.pk, "time": "2026-03-01T12:00:00Z", "endpoint": "search", "status": 200} | fields
    )


@pytest.fixture
def log(tmp_path):
    """Return a function that writes lines to a file and returns its path."""

    def write(*lines, name="access.log"):
        path = tmp_path / name
        path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
        return path

    return write


def import_log(path, *options, format="jsonl", field="user_id", source="gateway"):
    return run(
        *("import_requests", path, "--format", format, "--customer-field", field, "--source", source, "--json"),
        *options,
    )


def test_figures_go_to_stdout_and_rejected_lines_to_stderr(alice, log):
    price("search", "2.50")
    path = log(line_of(alice), line_of(alice), "junk", line_of(alice, endpoint="other"), line_of(alice, units=99))

    ran = import_log(path, "--charge")

    assert ran.code == 0
    assert ran.json == {
        "read": 5, "accepted": 3, "duplicates": 0, "rejected": 2, "credits_charged": 5, "unpaid": 1,
    }  # fmt: skip
    assert '"credits_charged":5,' in ran.out
    assert ran.err == "line 3: it is not JSON\nline 4: no price names the endpoint 'other'\n"


def test_people_read_names_and_values(alice, log):
    ran = run(
        *("import_requests", log(line_of(alice)), "--format", "jsonl", "--customer-field", "user_id"),
        *("--source", "gateway"),
    )

    assert ran.out == "read: 1\naccepted: 1\nduplicates: 0\nrejected: 0\ncredits_charged: 0\nunpaid: 0\n"


def test_only_the_first_rejected_lines_are_printed(log, db):
    ran = import_log(log(*["junk"] * 30))

    assert (ran.code, ran.json["rejected"]) == (1, 30)
    assert ran.err.count("\n") == 21
    assert "… and 10 more rejected lines\n" in ran.err


def test_combined_lines_of_hosts_make_customers(log):
    lines = [
        f'{host} - - [01/Mar/2026:12:00:0{n} +0000] "GET /{n} HTTP/1.1" 200 1 "-" "made-up/1.0"'
        for n, host in enumerate(["::1", "203.0.113.9", "::1"])
    ]

    ran = import_log(log(*lines), "--create-customers", format="combined", field="host")

    assert ran.json["accepted"] == 3
    assert sorted(RequestLog.objects.values_list("user__email", flat=True)) == [
        "203.0.113.9@gateway.invalid", "::1@gateway.invalid", "::1@gateway.invalid",
    ]  # fmt: skip


def test_csv_lines_are_named_by_their_place_behind_the_header(alice, log):
    path = log("user_id,time,path,status", f"{alice.pk},2026-03-01,search,200", "x,2026-03-01,search,200")

    ran = import_log(path, format="csv")

    assert (ran.json["read"], ran.json["accepted"], ran.json["rejected"]) == (2, 1, 1)
    assert ran.err.startswith("line 3: ")


def test_a_map_names_the_customers(alice, log):
    path = log('acme - - [x] "', '::1 - acme [01/Mar/2026:12:00:00 +0000] "GET / HTTP/1.1" 200 1')
    customers = log("acme,alice@example.com", name="map.csv")

    ran = import_log(path, "--customers", customers, format="combined", field="user")

    assert ran.json["accepted"] == 1
    assert RequestLog.objects.get().user == alice


def test_an_unreadable_map_is_reported_in_one_sentence(alice, log):
    ran = import_log(log(line_of(alice)), "--customers", log("::1", name="map.csv"), field="host")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("Line 1 of ")
    assert ran.err.endswith("map.csv is not VALUE,CUSTOMER.")


def test_a_dry_run_says_so_and_keeps_nothing(alice, log):
    price("search", 1)

    ran = import_log(log(line_of(alice)), "--charge", "--dry-run")

    assert (ran.json["accepted"], ran.json["credits_charged"], ran.json["dry_run"]) == (1, 1, True)
    assert not RequestLog.objects.exists()
    assert balance_of(user_id=alice.pk).balance == 100


def test_an_empty_log_is_imported(log, db):
    ran = import_log(log())

    assert (ran.code, ran.json["read"]) == (0, 0)


def test_a_file_that_is_not_there_is_an_error(tmp_path, db):
    ran = import_log(tmp_path / "missing.log")

    assert (ran.code, ran.out) == (1, "")
    assert "missing.log" in ran.err


@pytest.mark.parametrize("field", ["user_id", "email", "api_key_prefix"])
def test_customers_are_made_of_hosts_and_users_only(log, db, field):
    ran = import_log(log("{}"), "--create-customers", field=field)

    assert (ran.code, ran.out) == (2, "")
    assert "--create-customers" in ran.err


@pytest.mark.parametrize(
    "asked",
    [
        {"format": "combined", "field": "user_id"},
        {"format": "csv"},
        {"format": "xml"},
        {"field": "ip"},
        {"source": ""},
        {"source": "a b"},
        {"source": "a@b"},
        {"source": "-a"},
        {"source": "x" * 101},
    ],
    ids=str,
)
def test_wrong_usage_is_exit_2(log, db, asked):
    ran = import_log(log("time"), **asked)

    assert (ran.code, ran.out) == (2, "")


@pytest.mark.django_db(transaction=True)
def test_a_second_run_of_the_source_finds_the_lock(log, monkeypatch):
    alice = customer_with(100)
    path = log(line_of(alice))
    monkeypatch.setattr(import_requests, "run_lock", functools.partial(run_lock, wait_seconds=0.1))

    with run_lock("import_requests of gateway"):
        locked = import_log(path)
        other_source = import_log(path, source="other")

    assert (locked.code, locked.out) == (4, "")
    assert locked.err == "Another run of import_requests of gateway holds the lock."
    assert other_source.code == 0
    assert import_log(path).json["accepted"] == 1


@pytest.mark.django_db(transaction=True)
def test_a_run_that_dies_between_two_chunks_is_simply_run_again(log, monkeypatch):
    alice, bob = customer_with(1000), customer_with(1000)
    price("search", 1)
    path = log(*(line_of(user) for _ in range(25) for user in (alice, bob)))
    monkeypatch.setattr(importing, "LINES_A_CHUNK", 10)
    recorded, record_lines = [], importing.record_lines

    def record_and_die(**batch):
        recorded.append(record_lines(**batch))
        if len(recorded) == 5:  # Alice's half of the third chunk is in, Bob's is not
            raise KeyboardInterrupt
        return recorded[-1]

    monkeypatch.setattr(importing, "record_lines", record_and_die)
    died = import_log(path, "--charge")
    monkeypatch.setattr(importing, "record_lines", record_lines)
    ran = import_log(path, "--charge")

    assert (died.code, died.out, died.err) == (1, "", "Interrupted.")
    assert ran.json == {
        "read": 50, "accepted": 25, "duplicates": 25, "rejected": 0, "credits_charged": 25, "unpaid": 0,
    }  # fmt: skip
    assert rolled_up(alice) == rolled_up(bob) == [("search", 25, 0, 0, 25)]
    assert reconcile(Scope())[1] == []


def start(path, *options):
    """Start the command in a process of its own, on this test's database."""
    database = connection.settings_dict
    environment = os.environ | {
        "TOLLBOOK_ENV": "development",
        "DATABASE_URL": f"postgres://{database['USER']}:{quote(database['PASSWORD'] or '')}"
        f"@{quote(str(database['HOST']), safe='')}:{database['PORT']}/{database['NAME']}",
    }
    command = [sys.executable, "manage.py", "import_requests", path, "--format", "jsonl", "--json", *options]
    return subprocess.Popen(
        [*map(str, command), "--customer-field", "user_id", "--source", "gateway"],
        cwd=settings.BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_killed_is_simply_run_again(log, tmp_path):
    alice = customer_with(100_000)
    price("search", 1)
    path = log(*[line_of(alice)] * 6_000)
    fifo = tmp_path / "growing.log"
    os.mkfifo(fifo)
    first_lines = b"".join(path.read_bytes().splitlines(keepends=True)[:5_500])

    process = start(fifo, "--charge")
    with Path(fifo).open("wb") as feeding:
        feeder = threading.Thread(target=lambda: (feeding.write(first_lines), feeding.flush()))
        feeder.start()
        until = time.monotonic() + 30
        while not RequestLog.objects.exists() and process.poll() is None and time.monotonic() < until:
            time.sleep(0.05)
        process.kill()
        process.communicate()
        feeder.join()
    stored = RequestLog.objects.count()
    ran = import_log(path, "--charge")

    assert stored == importing.LINES_A_CHUNK
    assert (ran.code, ran.json["accepted"], ran.json["duplicates"]) == (0, 6_000 - stored, stored)
    assert RequestLog.objects.count() == ImportedLine.objects.count() == 6_000
    assert balance_of(user_id=alice.pk).balance == 94_000
    assert reconcile(Scope())[1] == []


@pytest.mark.django_db(transaction=True)
def test_from_a_shell_data_and_messages_do_not_mix(log):
    alice = customer_with(100)

    process = start(log(line_of(alice), "junk"))
    out, err = process.communicate(timeout=60)

    assert process.returncode == 0
    assert json.loads(out)["accepted"] == 1
    assert err == "line 2: it is not JSON\n"
