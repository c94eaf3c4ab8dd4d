"""The stage of a benchmark: a temporary PostgreSQL with durability on, and accounts to charge."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg

from config.postgres.binaries import find_binaries
from config.postgres.cluster import APP_ROLE, OWNER_ROLE, Cluster
from config.postgres.processes import server_account

ROOT = Path(__file__).resolve().parent.parent.parent
SQL = Path(__file__).resolve().parent / "sql"
ACCOUNTS = 10_000
# Of a production installation; the embedded default is sized for a demo.
TUNING = {"shared_buffers": "1GB", "max_wal_size": "8GB", "checkpoint_timeout": "30min"}


@contextmanager
def stage() -> Iterator[Cluster]:
    """Start a cluster with fsync and synchronous_commit on, migrate it, fill it; remove it at the end."""
    home = Path(tempfile.mkdtemp(prefix="tollbook-bench-", dir="/tmp"))  # short enough for a socket
    home.chmod(0o755)
    cluster = Cluster(home=home / "pg", durable=True)
    try:
        cluster.ensure_running()
        with psycopg.connect(cluster.dsn(user="postgres"), autocommit=True) as connection:
            for name, value in TUNING.items():
                connection.execute(f"ALTER SYSTEM SET {name} = '{value}'")
        cluster.stop()
        cluster.ensure_running()
        os.environ |= environment(cluster)
        subprocess.run([sys.executable, "manage.py", "migrate", "--verbosity", "0"], cwd=ROOT, check=True)
        run_sql(cluster, "accounts.sql")
        run_sql(cluster, "bare.sql")
        run_sql(cluster, "naive.sql")
        settle(cluster)
        yield cluster
    finally:
        cluster.remove()
        shutil.rmtree(home, ignore_errors=True)


def environment(cluster: Cluster) -> dict[str, str]:
    """Return the environment variables with which Django runs on the stage."""
    return {
        "TOLLBOOK_ENV": "development",
        "DJANGO_SETTINGS_MODULE": "config.settings",
        "DATABASE_URL": cluster.url(user=APP_ROLE, dbname="tollbook"),
        "DATABASE_OWNER_URL": cluster.url(user=OWNER_ROLE, dbname="tollbook"),
        "RATE_LIMIT_PER_KEY": "2000000000",
        "RATE_LIMIT_PER_USER": "2000000000",
        "RATE_LIMIT_PER_ADDRESS": "2000000000",
        "LOG_LEVEL": "ERROR",
    }


def run_sql(cluster: Cluster, name: str, **values: object) -> None:
    """Run a file of `sql/` as the owner."""
    with psycopg.connect(cluster.dsn(user=OWNER_ROLE)) as connection:
        connection.execute((SQL / name).read_text(encoding="utf-8").format(**{"accounts": ACCOUNTS} | values))


def settle(cluster: Cluster) -> None:
    """Vacuum, analyze and checkpoint, so that runs start alike."""
    with psycopg.connect(cluster.dsn(user="postgres"), autocommit=True) as connection:
        connection.execute("VACUUM ANALYZE")
        connection.execute("CHECKPOINT")


def pgbench(cluster: Cluster, script: str, *, clients: int, seconds: float, database: str = "tollbook") -> float:
    """Run a script of `sql/` with pgbench, prepared, and return transactions a second."""
    program = find_binaries(server_account(cluster.home)).program("pgbench")
    done = subprocess.run(
        [
            str(program), "-n", "-M", "prepared", "-h", str(cluster.socket_dir), "-U", APP_ROLE,
            "-c", str(clients), "-j", str(min(clients, 2)), "-T", str(max(int(seconds), 1)),
            "-D", f"accounts={ACCOUNTS}", "-f", str(SQL / script), database,
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("tps = ")]
    return float(line.split()[2])
