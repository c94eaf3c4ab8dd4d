"""The project's own PostgreSQL: find, create, start and stop it; one server at a time.

It listens on a Unix socket in a folder that only its own user may enter, never on TCP. This module does not import
Django: the settings ask for the socket's folder, and the tests start a cluster before there are settings.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psycopg
from psycopg.conninfo import make_conninfo

from config.postgres.binaries import MACHINE_FOLDER, Binaries, find_binaries
from config.postgres.processes import (
    Account,
    EmbeddedPostgresError,
    is_alive,
    locked,
    run_as,
    running_server,
    server_account,
)

SUPERUSER, OWNER_ROLE, APP_ROLE = "postgres", "tollbook_owner", "tollbook_app"
DATABASE = "tollbook"
PORT = 5432  # only a part of the socket's name
LONGEST_SOCKET_PATH = 100  # bytes; systems allow 103 to 107
LONGEST_LOG = 4 * 1024 * 1024
START_SECONDS = 60
LOST_SOCKET_SECONDS = 2
ORPHAN_SECONDS = 20  # how long processes of a killed server may keep its shared memory
SETTINGS = {
    "listen_addresses": "",
    "port": str(PORT),
    "unix_socket_permissions": "0700",
    "max_connections": "200",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_checkpoints": "off",
    "log_min_messages": "log",  # clients receive errors of statements; in the log they would only use space
}
# Set on the application's role, so that they apply to every connection (the README does it for other servers).
APPLICATION_TIMEOUTS = {
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "60s",
}
THROW_AWAY_SETTINGS = {
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "deadlock_timeout": "100ms",  # tests that deadlock wait for it
}
# The log is a positional argument, so no path needs quoting; the shell ends at once and leaves the server no parent.
LAUNCHER = 'log=$1; shift; "$@" </dev/null >>"$log" 2>&1 & echo $!'


@dataclass(frozen=True)
class Status:
    """The result of `Cluster.status`."""

    running: bool
    server_version: str | None
    home: Path
    socket_dir: Path


@dataclass(frozen=True)
class Cluster:
    """One PostgreSQL server with its data, all below the folder `home`; if not durable, a crash may lose the data."""

    home: Path
    durable: bool = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "home", Path(os.path.realpath(self.home)))

    # --- Where it is ----------------------------------------------------------------------------------

    @property
    def socket_dir(self) -> Path:
        """Return the folder of the socket: `home`/run, or a short one below the temp folder if that is unusable.

        The system refuses a path that is too long; clients refuse one with a comma or a percent sign.
        """
        inside = self.home / "run"
        short_enough = len(os.fsencode(inside / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH
        if short_enough and re.fullmatch(r"[A-Za-z0-9/._-]+", str(inside)):
            return inside
        # Not gettempdir(): two callers with different TMPDIR have to agree.
        temp = Path("/tmp")  # noqa: S108  the folder's owner and mode are checked
        return (temp if temp.is_dir() else Path(tempfile.gettempdir())) / f"tollbook-{_digest(self.home)}"

    @property
    def _socket(self) -> Path:
        return self.socket_dir / f".s.PGSQL.{PORT}"

    @property
    def log_file(self) -> Path:
        return self.home / "log"

    def dsn(self, *, user: str = APP_ROLE, dbname: str = DATABASE) -> str:
        """Return the connection string for libpq and psycopg."""
        return make_conninfo(host=str(self.socket_dir), port=PORT, user=user, dbname=dbname)

    def url(self, *, user: str = APP_ROLE, dbname: str = DATABASE) -> str:
        """Return the connection as a DATABASE_URL: its path is the socket's folder, then the database."""
        return f"postgres://{user}@:{PORT}/{self.socket_dir}/{dbname}"

    # --- What can be done with it -----------------------------------------------------------------------

    def ensure_running(self) -> None:
        """Start the server unless it runs; create its files, roles and database first if they are missing.

        Costs one connection if it is running. Any number of processes may call this concurrently.

        :raises NoPostgresFound: if there is no PostgreSQL to run
        :raises EmbeddedPostgresError: if it does not start
        """
        if self._responds(APP_ROLE, DATABASE):
            return
        with self._alone() as account:
            if self._responds(APP_ROLE, DATABASE):
                return
            if not self._responds(SUPERUSER, SUPERUSER):
                binaries = find_binaries(account)
                self._start(binaries, self._initialised(binaries, account), account)
            self._provision()

    def stop(self) -> bool:
        """Stop the server, ending its connections; return whether it was running."""
        if not os.path.exists(self.home):
            return False
        with self._alone() as account:
            return self._stop(account, "fast")

    def remove(self) -> None:
        """Stop the server and delete its files, and nothing else.

        :raises EmbeddedPostgresError: if `home` contains anything that is not the cluster's
        """
        if os.path.exists(self.home):
            strangers = [name for name in os.listdir(self.home) if not _is_own_name(name)]
            if strangers:
                raise EmbeddedPostgresError(f"{self.home} is kept: {min(strangers)!r} in it is not the database's.")
            with self._alone() as account:
                self._stop(account, "immediate")
                self._delete(account)

    def status(self) -> Status:
        """Return whether the server responds, and its version."""
        version = None
        if self._responds(APP_ROLE, DATABASE):
            with self._connect(APP_ROLE, DATABASE) as connection:
                version = connection.info.parameter_status("server_version")
        return Status(version is not None, version, self.home, self.socket_dir)

    # --- Talking to it ------------------------------------------------------------------------------------

    def _connect(self, user: str, dbname: str) -> psycopg.Connection:
        # `options` is set, or the caller's PGOPTIONS would apply.
        dsn = make_conninfo(self.dsn(user=user, dbname=dbname), connect_timeout=10, options="")
        return psycopg.connect(dsn, autocommit=True)

    def _responds(self, user: str, dbname: str) -> bool:
        if not _is_private(self.socket_dir, server_account(self.home)):
            return False
        try:
            with self._connect(user, dbname) as connection:
                connection.execute("SELECT 1")
        except psycopg.OperationalError:
            return False
        return True

    def _provision(self) -> None:
        """Create the roles and the database; the database is renamed last, so that it is complete once it exists."""
        with self._connect(SUPERUSER, SUPERUSER) as connection:
            present = {name for (name,) in connection.execute("SELECT rolname FROM pg_roles")}
            for role, rights in ((OWNER_ROLE, "LOGIN CREATEDB"), (APP_ROLE, "LOGIN")):
                if role not in present:
                    connection.execute(f"CREATE ROLE {role} {rights}")
            for name, limit in APPLICATION_TIMEOUTS.items():
                connection.execute(f"ALTER ROLE {APP_ROLE} SET {name} = '{limit}'")
            if connection.execute("SELECT FROM pg_database WHERE datname = %s", [DATABASE]).fetchone() is not None:
                return
            for statement in (
                f"DROP DATABASE IF EXISTS {DATABASE}_unfinished",
                f"CREATE DATABASE {DATABASE}_unfinished OWNER {OWNER_ROLE}",
                f"GRANT CONNECT ON DATABASE {DATABASE}_unfinished TO {OWNER_ROLE}, {APP_ROLE}",
                f"ALTER DATABASE {DATABASE}_unfinished RENAME TO {DATABASE}",
            ):
                connection.execute(statement)

    # --- Its files ----------------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[Account]:
        """Hold the cluster's lock, in a home that exists and is ours; turn errors of the system into sentences."""
        try:
            self._make_home()
            account = server_account(self.home)
            if not account.can_enter(self.home):
                raise EmbeddedPostgresError(f"{self.home} lies in a folder that is closed to the server's account.")
            lock = self.home / "lock"
            with locked(lock, seconds=2 * START_SECONDS):
                owner = self.home.stat()
                os.chown(lock, owner.st_uid, owner.st_gid)  # when root works for the home's owner
                yield account
        except (OSError, psycopg.Error) as problem:
            raise EmbeddedPostgresError(f"The database in {self.home} is out of reach: {problem}.") from problem

    def _make_home(self) -> None:
        as_root = os.geteuid() == 0
        if not self.home.exists():
            self.home.mkdir(parents=True, exist_ok=True)
            self.home.chmod(0o711 if as_root else 0o700)
        if not as_root and self.home.stat().st_uid != os.geteuid():
            raise EmbeddedPostgresError(f"{self.home} belongs to another user: work as that user, or remove it.")

    def _initialised(self, binaries: Binaries, account: Account) -> Path:
        """Return the data folder, created by initdb under another name first: a folder with its name is complete."""
        data = self.home / str(binaries.major)
        if (data / "PG_VERSION").exists():
            return data
        for other in self._data_folders():
            raise EmbeddedPostgresError(
                f"{other} needs PostgreSQL {other.name}, but {binaries.major} was found: install {other.name}, "
                "or give up these data with `manage.py postgres reset`."
            )
        for abandoned in self.home.glob("*.new-*"):
            shutil.rmtree(abandoned)
        fresh = Path(tempfile.mkdtemp(prefix=f"{data.name}.new-", dir=self.home))
        os.chown(fresh, account.uid, account.gid)
        locale = ["--locale=C"]
        if binaries.major >= 17:
            locale += ["--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        command: list[str | Path] = [binaries.program("initdb"), "-D", fresh, "-U", SUPERUSER, *locale]
        command += ["--encoding=UTF8", "--auth-local=trust", "--auth-host=reject", "--no-instructions"]
        made = run_as(account, command if self.durable else [*command, "--no-sync"])
        if made.returncode != 0:
            shutil.rmtree(fresh)
            raise EmbeddedPostgresError(f"initdb failed: {_last_line(made.stderr)}")
        return fresh.rename(data)

    def _data_folders(self) -> list[Path]:
        return sorted(path for path in self.home.iterdir() if path.name.isdigit() and (path / "PG_VERSION").exists())

    def _make_socket_dir(self, account: Account) -> None:
        """Create the socket's folder, empty; refuse one below the temp folder that another user created first."""
        try:
            self.socket_dir.mkdir(mode=0o700)
            os.chown(self.socket_dir, account.uid, account.gid)
        except FileExistsError:
            if not _is_private(self.socket_dir, account):
                raise EmbeddedPostgresError(
                    f"{self.socket_dir} is not a folder that only the server's account may enter: remove it."
                ) from None
        for left in self.socket_dir.glob(".s.PGSQL.*"):
            left.unlink()

    def _make_log_file(self, account: Account) -> None:
        if self.log_file.exists() and self.log_file.stat().st_size > LONGEST_LOG:
            self.log_file.replace(self.home / "log.old")
        descriptor = os.open(self.log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW, 0o600)
        os.fchown(descriptor, account.uid, account.gid)
        os.close(descriptor)

    def _delete(self, account: Account) -> None:
        if self.socket_dir.parent != self.home and _is_private(self.socket_dir, account):
            shutil.rmtree(self.socket_dir)
        for path in sorted(self.home.iterdir(), key=lambda path: path.name == "lock"):  # the lock goes last
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            else:
                path.unlink()
        self.home.rmdir()

    # --- Its process --------------------------------------------------------------------------------------

    def _start(self, binaries: Binaries, data: Path, account: Account) -> None:
        """Start the server and wait until it responds; the lock is held, so no other process starts one.

        After a kill -9 its orphans keep the shared memory for a short time: the start is repeated meanwhile. A server
        whose socket was deleted cannot be reached any more: it is stopped first.
        """
        began = time.monotonic()
        pid, log_size = None, 0
        while not self._responds(SUPERUSER, SUPERUSER):
            waited = time.monotonic() - began
            if waited > START_SECONDS:
                raise EmbeddedPostgresError(f"PostgreSQL did not answer for {START_SECONDS} s: see {self.log_file}.")
            if pid is None and waited > LOST_SOCKET_SECONDS and not self._socket.exists():
                self._stop(account, "fast")
            if running_server(data) is None and (pid is None or not is_alive(pid)):
                if pid is not None:
                    self._refuse_unless_orphans(log_size, waited)
                    time.sleep(0.2)
                (data / "postmaster.pid").unlink(missing_ok=True)  # of a process that ended, or another's
                self._make_socket_dir(account)
                self._make_log_file(account)
                log_size = self.log_file.stat().st_size
                pid = self._launch(binaries, data, account)
            time.sleep(0.03)

    def _launch(self, binaries: Binaries, data: Path, account: Account) -> int:
        settings = {**SETTINGS, "unix_socket_directories": str(self.socket_dir)}
        if not self.durable:
            settings |= THROW_AWAY_SETTINGS
        server = [str(binaries.program("postgres")), "-D", str(data)]
        server += [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        launched = run_as(account, ["/bin/sh", "-c", LAUNCHER, "sh", str(self.log_file), *server])
        return int(launched.stdout)

    def _refuse_unless_orphans(self, log_size: int, waited: float) -> None:
        with self.log_file.open(errors="replace") as log:
            log.seek(log_size)
            said = log.read()
        if "still in use" not in said or waited > ORPHAN_SECONDS:
            raise EmbeddedPostgresError(f"PostgreSQL did not start: {_last_line(said)} (more in {self.log_file})")

    def _stop(self, account: Account, mode: str) -> bool:
        """Stop by pg_ctl alone, and only a process known to serve this folder: pg_ctl itself trusts any pid."""
        served = [data for data in self._data_folders() if running_server(data) is not None]
        for data in served:
            pg_ctl = find_binaries(account).program("pg_ctl")
            ended = run_as(account, [pg_ctl, "stop", "-D", data, "-m", mode, "-w", "-t", str(START_SECONDS)])
            if ended.returncode != 0 and running_server(data) is not None:
                raise EmbeddedPostgresError(f"PostgreSQL did not stop: {_last_line(ended.stderr)}")
        return bool(served)


def default_cluster() -> Cluster:
    """Return the cluster of this checkout, started or not."""
    return cluster_of(Path(__file__).resolve().parents[2])


def cluster_of(checkout: Path) -> Cluster:
    """Return the cluster of a checkout: inside it, or where `nobody` can reach it if root works in a closed folder."""
    home = checkout / ".postgres"
    if server_account(home).can_enter(checkout):
        return Cluster(home)
    return Cluster(MACHINE_FOLDER / f"tollbook-{_digest(checkout)}")


def _digest(path: Path) -> str:
    return hashlib.sha256(os.fsencode(path)).hexdigest()[:12]


def _is_own_name(name: str) -> bool:
    return re.fullmatch(r"lock|log|log\.old|run|\d+|\d+\.new-\w+", name) is not None


def _is_private(folder: Path, account: Account) -> bool:
    """Return whether `folder` is a real folder that belongs to `account` and is closed to other users."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return stat.S_ISDIR(found.st_mode) and found.st_uid == account.uid and found.st_mode & 0o077 == 0


def _last_line(output: str) -> str:
    """Return the line with the reason: the last error, else the last line."""
    lines = [line.strip() for line in output.splitlines() if line.strip()] or ["it said nothing"]
    errors = [line for line in lines if "FATAL:" in line or "PANIC:" in line or "error:" in line]
    return (errors or lines)[-1]
