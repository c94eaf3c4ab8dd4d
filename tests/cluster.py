"""A pytest plugin (`-p tests.cluster`): a temporary PostgreSQL for each run without DATABASE_URL.

It sets DATABASE_URL and DATABASE_OWNER_URL before pytest-django reads the settings, so workers of pytest-xdist
inherit them and start nothing. The process that started the server removes it; what a killed run left behind,
the next run removes. A run is known to be alive by the lock it holds on its folder's `owner` file.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Generator
from pathlib import Path

import psycopg
import pytest

from config.postgres.cluster import APP_ROLE, OWNER_ROLE, SUPERUSER, Cluster
from config.postgres.processes import EmbeddedPostgresError, server_account

PREFIX = "tollbook-test-"
IN_MEMORY = Path("/dev/shm")
ROOM_BYTES = 4 * 1024**3


class TemporaryCluster:
    """One cluster below the temp folder, with a lock that shows other runs that it is in use."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self.folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=temp_folder()))
        self.folder.chmod(0o711)
        # Locked before it is renamed: another run deletes a folder that is not locked.
        self.owner = (self.folder / "owner.new").open("w")
        fcntl.flock(self.owner, fcntl.LOCK_EX)
        (self.folder / "owner.new").rename(self.folder / "owner")
        self.cluster = Cluster(self.folder / "postgres", durable=False)

    def start(self) -> None:
        try:
            self.cluster.ensure_running()
            self._let_owner_skip_triggers()
        except BaseException:
            self.remove()
            raise
        os.environ["DATABASE_URL"] = self.cluster.url(user=APP_ROLE)
        os.environ["DATABASE_OWNER_URL"] = self.cluster.url(user=OWNER_ROLE)

    def _let_owner_skip_triggers(self) -> None:
        """Allow the owner what only a superuser may do elsewhere; the tests empty tables by it (`tests.emptying`)."""
        with psycopg.connect(self.cluster.dsn(user=SUPERUSER, dbname=SUPERUSER), autocommit=True) as superuser:
            superuser.execute(f"GRANT SET ON PARAMETER session_replication_role TO {OWNER_ROLE}")

    def remove(self) -> None:
        """Remove it once, and only in the process that created it: a fork inherits `atexit`."""
        if os.getpid() == self.pid and not self.owner.closed:
            remove_folder(self.folder)
            self.owner.close()


_throw_away: list[TemporaryCluster] = []


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_load_initial_conftests(early_config: pytest.Config) -> Generator[None]:
    """Run before pytest-django's hook of this name, which sets Django up: wrappers come first."""
    os.environ.setdefault("TOLLBOOK_ENV", "development")
    asked = early_config.known_args_namespace
    if not os.environ.get("DATABASE_URL", "").strip() and not (asked.help or asked.version):
        remove_abandoned()
        throw_away = TemporaryCluster()
        atexit.register(throw_away.remove)  # when pytest ends before it was configured
        _throw_away.append(throw_away)
        try:
            throw_away.start()
        except EmbeddedPostgresError as refusal:
            raise pytest.UsageError(str(refusal)) from refusal
    return (yield)


@pytest.hookimpl(trylast=True)
def pytest_unconfigure() -> None:
    for throw_away in _throw_away:
        throw_away.remove()


def temp_folder() -> Path:
    """Return a temp folder that the server's account can reach: in memory where there is room, since tests make and
    delete many small files; TMPDIR decides where it is set. The usual folder may be root's own.
    """
    if not os.environ.get("TMPDIR") and has_room(IN_MEMORY):
        return IN_MEMORY
    usual = Path(tempfile.gettempdir()).resolve()
    return usual if server_account(usual / "none").can_enter(usual) else Path("/tmp")


def short_folder() -> Path:
    """Return a temp folder for clusters whose sockets need short paths: in memory where there is room."""
    return IN_MEMORY if has_room(IN_MEMORY) else Path("/tmp")


def has_room(folder: Path) -> bool:
    """Return whether a cluster fits there, with a copy of its programs."""
    if not folder.is_dir() or os.statvfs(folder).f_flag & os.ST_NOEXEC:
        return False
    is_reached = os.access(folder, os.W_OK) and server_account(folder / "none").can_enter(folder)
    return is_reached and shutil.disk_usage(folder).free >= ROOM_BYTES


def remove_abandoned() -> None:
    """Remove what killed runs left behind: their lock is free."""
    for folder in temp_folder().glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError, EmbeddedPostgresError):  # another run may be removing it
            if folder.lstat().st_uid == os.geteuid():
                with (folder / "owner").open() as owner:
                    fcntl.flock(owner, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    remove_folder(folder)


def remove_folder(folder: Path) -> None:
    Cluster(folder / "postgres").remove()
    shutil.rmtree(folder)
