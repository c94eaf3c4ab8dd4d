"""Every special use of connections, through a PgBouncer in transaction mode.

Runs where the program is installed. Its pool is smaller than the number of callers, so they do share.
"""

import asyncio
import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator

import psycopg
import pytest
from asgiref.sync import sync_to_async
from django.db import connection, connections, transaction

from config.cli.run_lock import AnotherRunHoldsTheLock, run_lock
from config.db.prepared import run_prepared
from config.db.snapshot import snapshot
from config.jobs.schedule import Job
from config.jobs.worker import work
from ledger.selectors import balance_of
from ledger.services.holds import expire_holds
from tests.accounts.races import at_once
from tests.cluster import temp_folder
from tests.factories import customer_with
from tests.ledger.posting import hold, post
from tests.ledger.running import run
from tests.usage.metering import charge, price, rolled_up
from tests.usage.test_stopping import check_that_every_charge_counts_once, stopped_under_load
from usage.models import ReconciliationRun
from usage.services.reconciliation import Scope, reconcile

PROGRAM = shutil.which("pgbouncer") or shutil.which("pgbouncer", path="/usr/sbin")
KNOWS_PREPARED = (1, 21)
POOL = 3

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(PROGRAM is None, reason="pgbouncer is not installed"),
]


def version() -> tuple[int, ...]:
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=True).stdout
    return tuple(int(part) for part in said.split()[1].split(".")[:2])


@pytest.fixture
def bouncer(transactional_db, settings, monkeypatch) -> Iterator[str]:
    """Start a PgBouncer in front of the test database, and send every connection of the application through it."""
    server = connection.settings_dict
    folder = temp_folder() / f"tollbook-bouncer-{os.getpid()}"
    folder.mkdir()
    account = "nobody" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
    knows_prepared = version() >= KNOWS_PREPARED
    (folder / "users").write_text(f'"{server["USER"]}" "{server["PASSWORD"]}"\n')
    (folder / "ini").write_text(
        f"""[databases]
{server["NAME"]} = host={server["HOST"]} port={server["PORT"] or 5432}
[pgbouncer]
listen_addr =
listen_port = 6432
unix_socket_dir = {folder}
auth_type = trust
auth_file = {folder}/users
pool_mode = transaction
default_pool_size = {POOL}
{"max_prepared_statements = 100" if knows_prepared else ""}
"""
    )
    shutil.chown(folder, account)
    process = subprocess.Popen(
        [PROGRAM, "-q", folder / "ini"],
        user=account if os.geteuid() == 0 else None,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    settings.DATABASE_PREPARED_STATEMENTS = knows_prepared
    connections.close_all()
    monkeypatch.setitem(server, "HOST", str(folder))
    monkeypatch.setitem(server, "PORT", "6432")
    for _ in range(100):
        if (folder / ".s.PGSQL.6432").exists():
            break
        time.sleep(0.05)
    yield str(folder)
    connections.close_all()
    process.terminate()
    process.wait(timeout=10)
    shutil.rmtree(folder)


def backends() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def test_transactions_of_one_connection_run_on_several_server_connections(bouncer):
    """The other tests of this file depend on this."""
    seen = at_once(POOL * 4, lambda: {backends() for _ in range(20)})

    assert len(set().union(*seen)) == POOL
    assert any(len(pids) > 1 for pids in seen)


def test_many_charge_at_once_and_every_promise_is_kept(bouncer):
    alice = customer_with(1000)
    price("search", 1)

    outcomes = at_once(16, lambda: [charge(alice) for _ in range(10)])

    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert balance_of(user_id=alice.pk).balance == 840
    assert rolled_up(alice) == [("search", 160, 0, 0, 160)]
    assert reconcile(Scope())[1] == []


def test_one_key_is_charged_once(bouncer):
    alice = customer_with(100)
    price("search", 5)

    outcomes = at_once(16, lambda: charge(alice, idempotency_key="k"))

    assert sorted(outcome.is_replay for outcome in outcomes) == [False] + [True] * 15


def test_holds_entries_and_their_settling_go_on_side_by_side(bouncer):
    alice = customer_with(100)

    def work():
        for turn in range(6):
            hold(alice, 1, seconds=turn % 2)
            expire_holds(user_id=alice.pk)
            post(alice, -1)

    assert at_once(8, work) == [None] * 8
    assert reconcile(Scope())[1] == []


def test_a_run_lock_is_held_while_others_work(bouncer):
    alice = customer_with(10)

    with run_lock("things"):
        assert at_once(8, lambda: post(alice, 1).entry.amount) == [1] * 8
        with pytest.raises(AnotherRunHoldsTheLock), run_lock("things", wait_seconds=0.3):
            pass
    with run_lock("things", wait_seconds=0.3):
        pass


def test_a_worker_runs_what_is_due(bouncer):
    async def until_it_ran():
        stop = asyncio.Event()
        working = asyncio.create_task(work([Job("reconcile", "0 0 * * *")], concurrency=2, stop=stop))
        for _ in range(100):
            if await sync_to_async(ReconciliationRun.objects.exists, thread_sensitive=False)():
                break
            await asyncio.sleep(0.1)
        stop.set()
        await working

    asyncio.run(until_it_ran())

    assert ReconciliationRun.objects.count() == 1


def test_a_snapshot_is_consistent_while_others_write(bouncer):
    alice = customer_with(10)
    writer = threading.Thread(target=lambda: (post(alice, 1), connections.close_all()))

    with snapshot():
        before = balance_of(user_id=alice.pk)
        writer.start()
        writer.join()
        during = balance_of(user_id=alice.pk)

    assert during == before
    assert balance_of(user_id=alice.pk).balance == 11


def test_settings_of_one_transaction_do_not_reach_the_next(bouncer):
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = '7s'")

    def seen():
        with connection.cursor() as cursor:
            cursor.execute("SHOW statement_timeout")
            return cursor.fetchone()[0]

    assert set(at_once(8, seen)) == {"30s"}


def test_commands_work_through_pgbouncer(bouncer, tmp_path):
    price("search", 1)
    alice = customer_with(1000, email="alice@example.com")
    file = tmp_path / "log.jsonl"
    file.write_text(
        "".join(
            f'{{"time": "2026-03-{1 + n % 28:02}T12:00:00Z", "endpoint": "search", "status": 200, '
            f'"email": "alice@example.com", "reference": "{n}"}}\n'
            for n in range(500)
        )
    )
    importing = (
        "import_requests",
        file,
        "--format",
        "jsonl",
        "--customer-field",
        "email",
        "--source",
        "log",
        "--charge",
    )

    first, again = run(*importing, "--json"), run(*importing, "--json")

    assert (first.json["accepted"], again.json["duplicates"]) == (500, 500)
    assert balance_of(user_id=alice.pk).balance == 500
    assert run("rebuild_usage", "--from", "2026-03-01", "--to", "2026-03-31", "--json").json["changed"] == 0
    assert run("reconcile", "--fix", "--json").json["findings"] == []
    assert run("expire_holds", "--json").code == 0


def test_a_server_behind_it_that_is_stopped_under_load_drops_nothing_acknowledged(bouncer):
    server = connection.settings_dict
    url = f"postgres://{server['USER']}:{server['PASSWORD']}@:6432/{bouncer}/{server['NAME']}"
    prepared = str(version() >= KNOWS_PREPARED).lower()

    load, repeated, code = stopped_under_load(
        lambda running: running.process.send_signal(signal.SIGTERM),
        DATABASE_URL=url,
        DATABASE_PREPARED_STATEMENTS=prepared,
    )

    check_that_every_charge_counts_once(load, repeated)
    assert code == 0


def test_an_old_pgbouncer_only_lacks_prepared_statements(bouncer, settings):
    if version() >= KNOWS_PREPARED:
        pytest.skip("this PgBouncer knows prepared statements")
    settings.DATABASE_PREPARED_STATEMENTS = True

    outcomes = at_once(12, lambda: [run_prepared("SELECT %s::int, pg_sleep(0.002)", [n]) for n in range(50)])

    causes = {type(one.__cause__) for one in outcomes if isinstance(one, Exception)}
    assert causes & {psycopg.errors.InvalidSqlStatementName, psycopg.errors.DuplicatePreparedStatement}
