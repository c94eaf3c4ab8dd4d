"""The files of the spool: metered requests that wait on the local disk while the database is unavailable.

A folder with one file of JSON lines for each process. A line is on the disk before its response is sent, and all files
together never exceed a bound. Appending and replaying take the folder's lock, which ends with its process.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

from django.conf import settings

GROWING, CLAIMED = ".jsonl", ".claimed"
_LOCK = ".lock"
_names: dict[int, str] = {}


class SpoolFull(Exception):
    """The waiting lines leave no room for another one."""

    def __init__(self, folder: Path) -> None:
        super().__init__(f"The spool {folder} is full: replay it with manage.py replay_spool.")


class SpoolMissing(Exception):
    """METERING_SPOOL is not set."""

    def __init__(self) -> None:
        super().__init__("METERING_SPOOL names no folder for what cannot be settled now.")


class Spool:
    """One folder of waiting lines; in bytes, at most `max_bytes` of them."""

    def __init__(self, folder: Path, *, max_bytes: int) -> None:
        self.folder = folder
        self.max_bytes = max_bytes

    def size(self) -> int:
        """Return the size of all waiting lines, in bytes."""
        size = 0
        for path in self.files():
            with suppress(FileNotFoundError):  # just replayed
                size += path.stat().st_size
        return size

    def has_room_for(self, line: bytes) -> bool:
        """Return whether this line could be written now."""
        return self.size() + len(line) <= self.max_bytes

    def append(self, line: bytes) -> None:
        """Write a line, including its line break, to the disk, so that it survives a crash.

        :raises SpoolFull: if there is no room for it
        :raises OSError: if it cannot be written
        """
        with self._locked():
            if not self.has_room_for(line):
                raise SpoolFull(self.folder)
            path = self.folder / _own_name()
            is_new = not path.exists()
            file = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                _write(file, line)
            finally:
                os.close(file)
            if is_new:
                self._sync_folder()

    def files(self) -> list[Path]:
        """Return the files with waiting lines; those that an earlier replay has started come first."""
        return [*sorted(self.folder.glob(f"*{CLAIMED}")), *sorted(self.folder.glob(f"*{GROWING}"))]

    def claim(self) -> list[Path]:
        """Rename all files, so that nothing more is appended to them, and return them; `keep` ends the claim."""
        if not self.folder.is_dir():
            return []
        with self._locked():
            for path in self.folder.glob(f"*{GROWING}"):
                path.rename(path.with_suffix(f".{time.time_ns()}{CLAIMED}"))
            self._sync_folder()
        return self.files()

    def keep(self, path: Path, lines: Sequence[bytes]) -> None:
        """Keep only these lines of a claimed file; without lines, remove it."""
        with self._locked():
            if lines:
                rest = path.with_suffix(".rest")
                with rest.open("wb") as file:
                    file.writelines(lines)
                    file.flush()
                    os.fsync(file.fileno())
                rest.replace(path)
            else:
                path.unlink()
            self._sync_folder()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with (self.folder / _LOCK).open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _sync_folder(self) -> None:
        folder = os.open(self.folder, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


def configured_spool() -> Spool | None:
    """Return the spool that METERING_SPOOL names, or None."""
    if not settings.METERING_SPOOL:
        return None
    return Spool(Path(settings.METERING_SPOOL), max_bytes=settings.METERING_SPOOL_BYTES)


def append_to_spool(line: bytes) -> None:
    """Append a line to the spool of the settings.

    :raises SpoolMissing: if they do not name one
    :raises SpoolFull: if there is no room for it
    :raises OSError: if it cannot be written
    """
    spool = configured_spool()
    if spool is None:
        raise SpoolMissing
    spool.append(line)


def _write(file: int, line: bytes) -> None:
    """Write a line whole or not at all, on a line of its own even after one that a crash has cut off."""
    before = os.fstat(file).st_size
    if before and os.pread(file, 1, before - 1) != b"\n":
        line = b"\n" + line
    try:
        _write_whole(file, line)
        os.fsync(file)
    except OSError:
        with suppress(OSError):
            os.ftruncate(file, before)
        raise


def _write_whole(file: int, line: bytes) -> None:
    if os.write(file, line) != len(line):
        raise OSError("The line could not be written whole.")


def _own_name() -> str:
    """Return the name of this process's file; a fork gets another, and so does a process with a reused process id."""
    pid = os.getpid()
    if pid not in _names:
        _names[pid] = f"{socket.gethostname()}-{pid}-{secrets.token_hex(4)}{GROWING}"
    return _names[pid]
