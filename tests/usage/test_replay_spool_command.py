"""`replay_spool`, as an operator runs it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import uuid
from decimal import Decimal
from pathlib import Path
from urllib.parse import quote

import pytest
from django.conf import settings as django_settings
from django.core.management import CommandError, call_command
from django.db import connection
from django.utils import timezone

from tests.factories import customer_with
from tests.ledger.running import Ran, run
from tests.usage.metered_services import captures
from tests.usage.metering import price
from tests.usage.outages import database_away
from usage.models import RequestLog
from usage.services.metered_requests import Announced, Outcome
from usage.services.spool import files as spool_module
from usage.services.spool.files import Spool, SpoolFull
from usage.services.spool.lines import SpooledRequest, to_line

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("every_promise_is_kept")]


def line_of(user, **fields) -> bytes:
    announced = {
        "user_id": user.pk, "key_hash": None, "endpoint": "search", "method": "POST", "units": Decimal(1),
        "credits": None, "expires_in_seconds": 900, "key": str(uuid.uuid4()),
    }  # fmt: skip
    outcome = Outcome(200, None, None, 5, "r")
    return to_line(SpooledRequest(Announced(**announced | fields), outcome, None, timezone.now()))


@pytest.fixture
def spool(tmp_path) -> Spool:
    price("search", 1)
    return Spool(tmp_path / "spool", max_bytes=10**7)


def fill(spool: Spool, *lines: bytes) -> None:
    for line in lines:
        spool.append(line)


def replay(*arguments: object) -> Ran:
    return run("replay_spool", *arguments, "--json")


def test_a_run_settles_waiting_lines_and_counts_them(alice, spool):
    fill(spool, line_of(alice), line_of(alice, units=Decimal("2.5")), b"{torn\n")

    ran = replay(spool.folder)
    again = replay(spool.folder)

    assert ran.json == {"read": 3, "settled": 2, "duplicates": 0, "credits": 3.5, "kept": 1, "failed": 0}
    assert ran.code == 0
    assert "line 3: it cannot be read" in ran.err
    assert again.json == {"read": 1, "settled": 0, "duplicates": 0, "credits": 0, "kept": 1, "failed": 0}
    assert captures(alice) == [1, Decimal("2.5")]


def test_a_dry_run_says_the_same_and_changes_nothing(alice, spool):
    fill(spool, line_of(alice), line_of(alice))

    ran = replay(spool.folder, "--dry-run")

    assert ran.json == {"read": 2, "settled": 2, "duplicates": 0, "credits": 2, "kept": 0, "failed": 0, "dry_run": True}
    assert (captures(alice), len(spool.files())) == ([], 1)
    assert replay(spool.folder).json["settled"] == 2


def test_the_folder_of_the_settings_is_taken_when_none_is_named(alice, spool, settings):
    settings.METERING_SPOOL = str(spool.folder)
    fill(spool, line_of(alice))

    assert replay().json["settled"] == 1


def test_without_any_folder_it_is_wrong_usage_and_without_that_folder_an_error(tmp_path):
    with pytest.raises(CommandError) as nothing:
        call_command("replay_spool")
    with pytest.raises(CommandError) as nowhere:
        call_command("replay_spool", str(tmp_path / "none"))

    assert (nothing.value.returncode, nowhere.value.returncode) == (2, 1)


@pytest.mark.django_db(transaction=True)
def test_while_the_database_is_away_all_waits_on(alice, spool):
    fill(spool, line_of(alice))

    with database_away(), pytest.raises(CommandError) as refused:
        call_command("replay_spool", str(spool.folder))

    assert "database" in str(refused.value)
    assert replay(spool.folder).json["settled"] == 1


class TestTheSpool:
    def test_spool_is_never_larger_than_its_bound(self, tmp_path):
        spool = Spool(tmp_path, max_bytes=100)
        spool.append(b"a" * 59 + b"\n")

        with pytest.raises(SpoolFull):
            spool.append(b"b" * 40 + b"\n")

        spool.append(b"c" * 39 + b"\n")
        assert spool.size() == 100

    def test_spool_counts_the_files_of_all_processes(self, tmp_path, monkeypatch):
        spool = Spool(tmp_path, max_bytes=100)
        spool.append(b"a" * 59 + b"\n")
        monkeypatch.setattr(spool_module, "_names", {os.getpid(): "another.jsonl"})

        assert not spool.has_room_for(b"b" * 40 + b"\n")
        spool.append(b"b" * 9 + b"\n")
        assert len(spool.files()) == 2

    def test_spool_starts_a_new_line_after_one_cut_off(self, tmp_path):
        spool = Spool(tmp_path, max_bytes=100)
        spool.append(b"whole\n")
        (path,) = spool.files()
        path.write_bytes(b"whole\nto")

        spool.append(b"next\n")

        assert path.read_bytes() == b"whole\nto\nnext\n"

    def test_spool_keeps_nothing_of_a_line_not_wholly_written(self, tmp_path, monkeypatch):
        spool = Spool(tmp_path, max_bytes=100)
        spool.append(b"whole\n")
        write = os.write
        monkeypatch.setattr(os, "write", lambda file, line: write(file, line[:3]))

        with pytest.raises(OSError, match="whole"):
            spool.append(b"another\n")

        assert spool.size() == len(b"whole\n")

    def test_spool_continues_in_a_new_file_while_it_is_replayed(self, tmp_path):
        spool = Spool(tmp_path, max_bytes=100)
        spool.append(b"one\n")
        (claimed,) = spool.claim()

        spool.append(b"two\n")
        spool.keep(claimed, [])

        assert [path.read_bytes() for path in spool.files()] == [b"two\n"]

    def test_spool_of_a_fork_is_another_file(self, tmp_path):
        spool = Spool(tmp_path, max_bytes=100)
        spool.append(b"parent\n")
        child = os.fork()
        if child == 0:
            try:
                spool.append(b"child\n")
            finally:
                os._exit(0)
        os.waitpid(child, 0)

        assert sorted(path.read_bytes() for path in spool.files()) == [b"child\n", b"parent\n"]


def start(folder: Path) -> subprocess.Popen[str]:
    """Start the command in a process of its own, on this test's database."""
    database = connection.settings_dict
    environment = os.environ | {
        "TOLLBOOK_ENV": "development",
        "DATABASE_URL": f"postgres://{database['USER']}:{quote(database['PASSWORD'] or '')}"
        f"@{quote(str(database['HOST']), safe='')}:{database['PORT']}/{database['NAME']}",
    }
    return subprocess.Popen(
        [sys.executable, "manage.py", "replay_spool", str(folder), "--json"],
        cwd=django_settings.BASE_DIR,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_killed_is_simply_run_again(spool):
    many = 400
    alice = customer_with(10_000)
    lines = [line_of(alice) for _ in range(many)]
    spool.append(b"".join(lines))

    process = start(spool.folder)
    until = time.monotonic() + 30
    while RequestLog.objects.count() < 20 and process.poll() is None and time.monotonic() < until:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    settled = RequestLog.objects.count()
    ran = replay(spool.folder)

    assert 20 <= settled < many
    assert (ran.json["read"], ran.json["kept"]) == (many, 0)
    assert ran.json["settled"] in (many - settled, many - 1 - settled)  # the server may still finish the last one
    assert len(captures(alice)) == RequestLog.objects.count() == many
    assert json.loads(start(spool.folder).communicate(timeout=60)[0])["read"] == 0
