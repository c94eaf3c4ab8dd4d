"""Processes of the embedded database: the account that runs the server, running servers, and a file lock."""

from __future__ import annotations

import fcntl
import os
import pwd
import stat
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

KEPT_VARIABLES = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR")
PROCESSES = Path("/proc")


class EmbeddedPostgresError(Exception):
    """The embedded database cannot do what was asked; the message is one sentence."""


@dataclass(frozen=True)
class Account:
    """The user who runs the server: the caller, or another user if the caller is root."""

    uid: int
    gid: int

    @property
    def is_caller(self) -> bool:
        return self.uid == os.geteuid()

    def can_enter(self, folder: Path) -> bool:
        """Return whether this user can enter `folder` and all of its parents."""
        return self.is_caller or all(self._may(part, stat.S_IXOTH) for part in (folder, *folder.parents))

    def can_read(self, file: Path) -> bool:
        """Return whether this user can reach and read `file`; a missing file is not readable."""
        return self.is_caller or (file.exists() and self._may(file, stat.S_IROTH) and self.can_enter(file.parent))

    def _may(self, path: Path, others_bit: int) -> bool:
        found = path.stat()
        shift = 6 if found.st_uid == self.uid else 3 if found.st_gid == self.gid else 0
        return bool(found.st_mode & (others_bit << shift))


def server_account(home: Path) -> Account:
    """Return who runs the server of `home`: the caller; for root the folder's owner, or `nobody` if that is root too.

    :raises EmbeddedPostgresError: if root finds no account named nobody
    """
    if os.geteuid() != 0:
        return Account(os.geteuid(), os.getegid())
    if home.exists() and (owner := home.stat()).st_uid != 0:
        return Account(owner.st_uid, owner.st_gid)
    try:
        nobody = pwd.getpwnam("nobody")
    except KeyError:
        raise EmbeddedPostgresError(
            "PostgreSQL does not run as root and there is no account named nobody: use an ordinary account."
        ) from None
    return Account(nobody.pw_uid, nobody.pw_gid)


def run_as(account: Account, command: Sequence[str | Path]) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, in its own session and without the caller's files or environment."""
    environment = {name: os.environ[name] for name in KEPT_VARIABLES if name in os.environ}
    return subprocess.run(  # noqa: S603  the callers name programs of the PostgreSQL that was found
        command,
        user=None if account.is_caller else account.uid,
        group=None if account.is_caller else account.gid,
        extra_groups=None if account.is_caller else [],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
        cwd="/",
        env={**environment, "LC_ALL": "C"},
        start_new_session=True,
        umask=0o077,
    )


def is_alive(pid: int) -> bool:
    """Return whether process `pid` exists and is not a zombie, which `kill -0` and `pg_ctl status` count as running."""
    if not (PROCESSES / "self").exists():
        return _ask_ps(pid, "stat").strip()[:1] not in {b"", b"Z"}
    try:
        facts = (PROCESSES / str(pid) / "stat").read_bytes()
    except OSError:
        return False
    return facts.rpartition(b") ")[2][:1] not in {b"Z", b"X"}  # the program's name may hold brackets and spaces


def is_server(pid: int, data: Path) -> bool:
    """Return whether process `pid` is alive and serves the folder `data`: a recycled pid may be another PostgreSQL."""
    if not is_alive(pid):
        return False
    try:
        return os.fsencode(data) in (PROCESSES / str(pid) / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return os.fsencode(data) in _ask_ps(pid, "command")


def _ask_ps(pid: int, fact: str) -> bytes:
    """Return a fact about a process from ps, for systems without /proc."""
    command = ["ps", "-o", f"{fact}=", "-p", str(pid)]
    return subprocess.run(command, capture_output=True, check=False).stdout  # noqa: S603


def running_server(data: Path) -> int | None:
    """Return the pid of the running server of `data`; None if postmaster.pid is missing or names anything else."""
    try:
        pid = int((data / "postmaster.pid").read_text().partition("\n")[0])
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return None
    return pid if is_server(pid, data) else None


@contextmanager
def locked(file: Path, *, seconds: float) -> Iterator[None]:
    """Hold `file` locked against every other process; it is created if missing and may be deleted while held.

    :raises EmbeddedPostgresError: if another process still holds it after `seconds`
    """
    give_up = time.monotonic() + seconds
    while True:
        descriptor = os.open(file, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(file, descriptor):
                break
        except BlockingIOError:
            if time.monotonic() > give_up:
                os.close(descriptor)
                raise EmbeddedPostgresError(f"Another process has kept {file} locked for {seconds:.0f} s.") from None
            time.sleep(0.05)
        os.close(descriptor)
    try:
        yield
    finally:
        os.close(descriptor)


def _is_still(file: Path, descriptor: int) -> bool:
    """Return whether `file` is still what was opened: its last holder may have deleted it."""
    try:
        return os.path.samestat(os.stat(file), os.fstat(descriptor))
    except FileNotFoundError:
        return False
