"""`manage.py postgres`, the embedded engine and the tests' own plugin, in a small checkout with its own cluster."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.postgres.cluster import Cluster
from tests.cluster import PREFIX, short_folder

PROJECT = Path(__file__).resolve().parents[2]
PIECES = (
    "config/__init__.py", "config/postgres/cluster.py", "config/postgres/binaries.py", "config/postgres/processes.py",
    "config/db", "config/management/__init__.py", "config/management/commands/__init__.py",
    "config/management/commands/postgres.py", "tests/__init__.py", "tests/cluster.py",
)  # fmt: skip
SETTINGS = """
from config.postgres.cluster import default_cluster
SECRET_KEY = "small"
INSTALLED_APPS = ["config"]
DATABASES = {"default": {"ENGINE": "config.db.embedded", "NAME": "tollbook", "USER": "tollbook_app",
                         "HOST": str(default_cluster().socket_dir), "PORT": "5432"}}
"""
RUN_SETTINGS = """
import environ
SECRET_KEY = "small"
DATABASES = {"default": environ.Env().db_url("DATABASE_URL")}
"""
ASK = """
import django; django.setup()
from django.db import connection
with connection.cursor() as cursor:
    cursor.execute("SELECT current_user")
    print(cursor.fetchone()[0])
"""
A_RUN = """
import os, pathlib, environ, psycopg, pytest
@pytest.mark.parametrize("number", range(4))
def test_it(number):
    asked = environ.Env.db_url_config(os.environ["DATABASE_URL"])
    assert asked["ENGINE"] == "django.db.backends.postgresql"
    with psycopg.connect(host=asked["HOST"], port=asked["PORT"], user=asked["USER"], dbname=asked["NAME"]) as there:
        assert there.execute("SELECT current_user, current_setting('fsync')").fetchone() == ("tollbook_app", "off")
    assert environ.Env.db_url_config(os.environ["DATABASE_OWNER_URL"])["USER"] == "tollbook_owner"
    pathlib.Path(os.environ["SEEN"]).joinpath(str(number)).write_text(asked["HOST"])
"""
A_LONG_RUN = A_RUN + "    import time; time.sleep(60)\n"


@pytest.fixture(scope="module")
def checkout() -> Iterator[Path]:
    made = Path(tempfile.mkdtemp(prefix="tollbook-checkout-", dir=short_folder())).resolve()
    made.chmod(0o755)
    for piece in PIECES:
        (made / piece).parent.mkdir(parents=True, exist_ok=True)
        if (PROJECT / piece).is_dir():
            shutil.copytree(PROJECT / piece, made / piece)
        else:
            shutil.copy(PROJECT / piece, made / piece)
    (made / "small_settings.py").write_text(SETTINGS)
    (made / "run_settings.py").write_text(RUN_SETTINGS)
    yield made
    Cluster(made / ".postgres").remove()
    shutil.rmtree(made)


def in_checkout(checkout: Path, *command: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *command], cwd=checkout, env=environment(checkout, **more), stdin=subprocess.DEVNULL,
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def environment(checkout: Path, **more: str) -> dict[str, str]:
    dropped = {"DATABASE_URL", "DATABASE_OWNER_URL", "PYTEST_ADDOPTS"}
    kept = {name: value for name, value in os.environ.items() if name not in dropped}
    path = os.pathsep.join([str(checkout), *filter(None, [os.environ.get("PYTHONPATH")])])
    return {**kept, "PYTHONPATH": path, "DJANGO_SETTINGS_MODULE": "small_settings", **more}


def postgres(checkout: Path, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return in_checkout(checkout, "-m", "django", "postgres", *arguments, **more)


def is_running(checkout: Path) -> bool:
    return json.loads(postgres(checkout, "status", "--json").stdout)["running"]


def test_it_starts_opens_stops_and_empties_the_database(checkout: Path) -> None:
    started = postgres(checkout, "start")
    assert (started.returncode, started.stdout) == (0, ""), started.stderr
    assert is_running(checkout)

    made = postgres(checkout, "psql", "--owner", "--", "-c", "CREATE TABLE kept ()")
    assert made.returncode == 0, made.stderr
    asked = postgres(checkout, "psql", "--", "-Atc", "SELECT current_user, to_regclass('kept')")
    assert asked.stdout == "tollbook_app|kept\n", asked.stderr

    unsure = postgres(checkout, "reset")
    assert unsure.returncode == 1
    assert "Nothing was deleted." in unsure.stderr
    assert postgres(checkout, "reset", "--yes").returncode == 0
    assert postgres(checkout, "psql", "--", "-Atc", "SELECT to_regclass('kept')").stdout == "\n"

    assert postgres(checkout, "stop").returncode == 0
    assert not is_running(checkout)


def test_the_first_query_starts_a_server_that_is_not_running(checkout: Path) -> None:
    postgres(checkout, "stop")

    asked = in_checkout(checkout, "-c", ASK)

    assert asked.stdout == "tollbook_app\n", asked.stderr
    assert is_running(checkout)


@pytest.mark.parametrize("action", ["start", "stop", "psql", "reset"])
def test_it_refuses_when_another_database_is_named(checkout: Path, action: str) -> None:
    refused = postgres(checkout, action, DATABASE_URL="postgres://somebody@elsewhere/tollbook")

    assert refused.returncode == 1
    assert "not in use" in refused.stderr
    assert refused.stderr.count("\n") == 1


def test_wrong_usage_ends_with_2(checkout: Path) -> None:
    assert postgres(checkout, "explode").returncode == 2
    assert postgres(checkout).returncode == 2


def test_a_run_with_workers_has_one_cluster_and_leaves_nothing_behind(checkout: Path, tmp_path: Path) -> None:
    (checkout / "test_small.py").write_text(A_RUN)

    run = small_run(checkout, tmp_path, "-n", "2")
    said = run.communicate(timeout=60)[0]

    assert run.returncode == 0, said
    sockets = {Path(seen.read_text()) for seen in tmp_path.iterdir()}
    assert len(sockets) == 1
    assert not sockets.pop().parents[1].exists()


def test_the_next_run_removes_what_a_killed_one_left_behind(checkout: Path, tmp_path: Path) -> None:
    (checkout / "test_small.py").write_text(A_LONG_RUN)
    killed = small_run(checkout, tmp_path)
    while not (tmp_path / "0").exists() or not (tmp_path / "0").read_text():
        assert killed.poll() is None
        time.sleep(0.05)
    left = Path((tmp_path / "0").read_text()).parents[1]
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    assert left.exists()
    assert left.name.startswith(PREFIX)

    (checkout / "test_small.py").write_text(A_RUN)
    after = small_run(checkout, tmp_path)
    said = after.communicate(timeout=60)[0]

    assert after.returncode == 0, said
    assert not left.exists()


def small_run(checkout: Path, seen: Path, *arguments: str) -> subprocess.Popen[str]:
    plugins = ["-p", "tests.cluster", "-p", "xdist.plugin", "-p", "pytest_django.plugin", "--ds=run_settings"]
    plain = environment(checkout, SEEN=str(seen), PYTEST_DISABLE_PLUGIN_AUTOLOAD="1")
    return subprocess.Popen(
        [sys.executable, "-m", "pytest", "-q", *plugins, *arguments, "test_small.py"], cwd=checkout, env=plain,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
