"""Run a peer beside us: in a virtual environment of its own, on a database of its own in the same cluster."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psycopg

from config.postgres.cluster import OWNER_ROLE, PORT, Cluster
from tests.bench.stage import ROOT

HERE = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".peers"  # kept, as `.venv` is


def installed() -> bool:
    """Install the peers, if they are not installed; return False if the package index cannot be reached."""
    done = ENVIRONMENT / "installed"
    if not done.exists():
        subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True)
        pip = [str(ENVIRONMENT / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
        if subprocess.run([*pip, "-r", str(HERE / "requirements.txt")], check=False).returncode:
            return False
        done.touch()
    return True


def postings_a_second(cluster: Cluster, peer: str, *, seconds: float) -> float:
    """Post with a peer from one process for this long, in a new database."""
    name = f"peer_{peer}"
    with psycopg.connect(cluster.dsn(user="postgres", dbname="postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {name}")
        connection.execute(f"CREATE DATABASE {name} OWNER {OWNER_ROLE}")
    done = subprocess.run(
        [
            str(ENVIRONMENT / "bin" / "python"), str(HERE / "posting.py"), peer, str(cluster.socket_dir), str(PORT),
            OWNER_ROLE, name, str(seconds),
        ],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return float(done.stdout)
