"""`manage.py worker`: due jobs run once; failed ones are logged and tried again; running ones are finished."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings
from django.core.management import CommandError, get_commands
from django.db import connection
from procrastinate.contrib.django.models import ProcrastinateJob as Queued

from config.cli.command import OperatorCommand
from config.cli.run_lock import AnotherRunHoldsTheLock
from config.jobs import worker
from config.jobs.schedule import SCHEDULE, Job
from config.jobs.worker import JobFailed, run_command, work
from tests.ledger.running import run
from usage.models import ReconciliationRun

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])
EVERY_SECOND, ONCE = "* * * * * *", "0 0 * * *"  # a job due at midnight runs when a worker starts later
CRONTAB = re.compile(r"^((?:[\d*/]+ +){5})manage\.py (\w+)", re.MULTILINE)


class Work(OperatorCommand):
    """A command for these tests: records when it runs, and behaves as a test chooses."""

    def __init__(self, does=lambda: None):
        super().__init__()
        self.does, self.runs, self.running, self.most = does, [], 0, 0
        self.lock = threading.Lock()

    def handle(self, *args, **options):
        with self.lock:
            self.runs.append(time.monotonic())
            self.running += 1
            self.most = max(self.most, self.running)
        try:
            self.does()
        finally:
            self.running -= 1


@pytest.fixture
def command(monkeypatch):
    def known_as_work(does=lambda: None):
        made = Work(does)
        monkeypatch.setitem(get_commands(), "work", made)
        return made

    return known_as_work


@pytest.fixture(autouse=True)
def _an_empty_queue(monkeypatch):
    monkeypatch.setattr(worker, "POLL_SECONDS", 0.1)
    monkeypatch.setattr(worker, "PAUSE_SECONDS", 0.1)
    yield
    with connection.cursor() as cursor:
        for table in ("periodic_defers", "events", "jobs", "workers"):
            cursor.execute(f"DELETE FROM procrastinate_{table}")


def work_until(done, *whens, workers=1, seconds=20.0):
    """Run workers until `done` returns True, or `seconds` are over."""

    async def all_of_them():
        stop = asyncio.Event()
        jobs = [Job("work", when) for when in whens]
        running = [asyncio.create_task(work(jobs, concurrency=4, stop=stop)) for _ in range(workers)]
        until = time.monotonic() + seconds
        while not done() and time.monotonic() < until:
            await asyncio.sleep(0.05)
        stop.set()
        await asyncio.gather(*running)

    asyncio.run(all_of_them())
    assert done()


def statuses():
    return sorted(Queued.objects.filter(task_name="work").values_list("status", flat=True))


def after(seconds, begun=lambda: True):
    """Return a condition that holds once `begun` has returned True for so long."""
    until = []

    def is_over():
        if not until and begun():
            until.append(time.monotonic() + seconds)
        return bool(until) and time.monotonic() > until[0]

    return is_over


def test_a_due_job_runs_once_with_two_workers(command):
    done = command()

    work_until(after(5 * worker.POLL_SECONDS, begun=lambda: done.runs), ONCE, workers=2)

    assert len(done.runs) == 1
    assert statuses() == []  # successful jobs leave no row


def test_a_job_that_has_run_does_not_run_again_when_a_worker_restarts(command):
    done = command()

    work_until(lambda: done.runs, ONCE)
    work_until(after(6 * worker.POLL_SECONDS), ONCE)

    assert len(done.runs) == 1


def test_a_failed_job_is_logged_in_a_sentence_and_runs_again_at_its_next_time(command, caplog):
    def fail_at_first():
        if len(done.runs) == 1:
            raise CommandError("Two findings.", returncode=3)

    done = command(fail_at_first)

    work_until(lambda: len(done.runs) >= 2, EVERY_SECOND)

    (said,) = [record for record in caplog.records if record.levelname == "ERROR"]
    assert (said.name, said.exc_info) == ("tollbook.jobs", None)
    assert "work: exit 3: Two findings." in said.getMessage()
    assert statuses() == ["failed"]


def test_a_slow_job_neither_runs_concurrently_with_itself_nor_queues_up(command):
    done = command(lambda: time.sleep(1.3))

    work_until(lambda: len(done.runs) >= 2, EVERY_SECOND, workers=2)

    assert done.most == 1
    assert len(statuses()) <= 1


def test_a_running_job_is_finished_before_the_worker_stops(command):
    ended = []
    done = command(lambda: (time.sleep(0.5), ended.append(True)))

    work_until(lambda: done.runs, ONCE)

    assert ended == [True]
    assert statuses() == []


def test_a_job_whose_worker_was_killed_runs_again_when_it_is_due(command, caplog):
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH killed AS (INSERT INTO procrastinate_workers (last_heartbeat) VALUES (now() - interval '1 hour')"
            " RETURNING id) INSERT INTO procrastinate_jobs (queue_name, task_name, lock, status, worker_id)"
            " SELECT 'default', 'work', 'work', 'doing', id FROM killed"
        )
    done = command()

    work_until(lambda: done.runs, EVERY_SECOND)

    assert "work: its worker is gone." in caplog.text
    assert statuses()[:1] == ["failed"]


def test_old_failures_are_deleted(command):
    with connection.cursor() as cursor:
        cursor.execute(
            "WITH failed AS (INSERT INTO procrastinate_jobs (queue_name, task_name, status) SELECT 'default', 'work',"
            " 'failed' FROM generate_series(1, 3) RETURNING id) INSERT INTO procrastinate_events (job_id, type, at)"
            " SELECT id, 'failed', now() - interval '1 day' * (4.9 + row_number() OVER ()) FROM failed"
        )
    done = command()

    work_until(lambda: done.runs, ONCE)

    assert statuses() == ["failed", "failed"]  # of the three, those of the last seven days


def test_a_worker_whose_connections_are_lost_goes_on(command, caplog):
    done = command()
    lost = []

    def lose():
        if done.runs and not lost:
            lost.append(len(done.runs))
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                    " WHERE datname = current_database() AND usename = current_user AND pid <> pg_backend_pid()"
                )
        return bool(lost) and len(done.runs) > lost[0] + 1

    def lose_in_a_thread():  # the loop must not query the database itself
        thread = threading.Thread(target=lambda: (answers.append(lose()), connection.close()))
        thread.start()
        thread.join()
        return answers[-1]

    answers = []
    work_until(lose_in_a_thread, EVERY_SECOND)


def test_a_lock_held_by_another_run_is_no_failure(command, caplog):
    def refuse():
        raise AnotherRunHoldsTheLock("work")

    command(refuse)

    with caplog.at_level("INFO"):
        run_command(Job("work", ONCE))

    assert [record.levelname for record in caplog.records] == ["INFO"]


def test_findings_reach_the_log_with_all_that_was_said(command, caplog):
    def find():
        done.stdout.write("user 7: odd")
        raise CommandError("1 finding.", returncode=3)

    done = command(find)

    with pytest.raises(JobFailed):
        run_command(Job("work", ONCE))

    assert "user 7: odd" in caplog.text


class TestTheCommand:
    @pytest.fixture
    def environment(self):
        database = connection.settings_dict
        url = (
            f"postgres://{database['USER']}:{quote(database['PASSWORD'] or '')}"
            f"@{quote(str(database['HOST']), safe='')}:{database['PORT']}/{database['NAME']}"
        )
        return os.environ | {"TOLLBOOK_ENV": "development", "LOG_FORMAT": "json", "DATABASE_URL": url}

    def test_runs_what_is_due_and_ends_at_sigterm(self, environment):
        started = subprocess.Popen(
            [sys.executable, "manage.py", "worker"],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        until = time.monotonic() + 60
        while not ReconciliationRun.objects.exists() and time.monotonic() < until and started.poll() is None:
            time.sleep(0.1)
        started.send_signal(signal.SIGTERM)
        out, err = started.communicate(timeout=60)

        assert (started.returncode, out) == (0, ""), err
        assert ReconciliationRun.objects.count() == 1
        assert err.startswith("Running run_auto_reload, ")
        assert {"reconcile"} <= {line["message"].partition(":")[0] for line in lines(err)}
        assert "Traceback" not in err
        with connection.cursor() as cursor:
            cursor.execute("SELECT count(*) FROM procrastinate_workers")
            assert cursor.fetchone() == (0,)

    def test_refuses_odd_numbers(self):
        for odd in ("0", "33", "x", "-1"):
            assert run("worker", "--concurrency", odd).code == 2


def lines(err):
    return [json.loads(line) for line in err.splitlines() if line.startswith("{")]


class TestTheSchedule:
    def test_agrees_with_the_crontab_of_the_manual(self):
        manual = (Path(settings.BASE_DIR) / "docs" / "operations.md").read_text(encoding="utf-8")
        crontab = {name: re.sub(" +", " ", when.strip()) for when, name in CRONTAB.findall(manual)}

        assert crontab == {job.command: " ".join(job.when.split()[:5]) for job in SCHEDULE}

    def test_names_existing_commands(self):
        assert {job.command for job in SCHEDULE} <= set(get_commands())
        assert len({job.command for job in SCHEDULE}) == len(SCHEDULE)

    @pytest.mark.parametrize("job", SCHEDULE, ids=lambda job: job.command)
    def test_has_jobs_that_may_run_at_any_moment(self, job):
        assert run(job.command).code == (3 if job.command == "doctor" else 0)  # a test's database is not durable
