"""Freeze SQL: write the changes of `current/` as a released file, its undo file and the migration that runs them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from pathlib import Path

from config.db.definitions import Definitions, current_definitions, released_definitions, script

CHECKSUMS = "SHA256SUMS"
_NAME = re.compile(r"\d{4}_[a-z0-9]+(?:_[a-z0-9]+)*")
_MIGRATION = """from django.db import migrations

from config.db.migrations import sql_file


class Migration(migrations.Migration):
    dependencies = [{dependencies}]
    operations = [sql_file(__file__, "{name}")]
"""


class CannotFreeze(Exception):
    """There is nothing to freeze, or the name is invalid."""


@dataclass(frozen=True)
class AppSql:
    """Where an app keeps its SQL and its migrations."""

    label: str
    folder: Path

    @property
    def current(self) -> Path:
        return self.folder / "sql" / "current"

    @property
    def released(self) -> Path:
        return self.folder / "sql" / "released"

    @property
    def migrations(self) -> Path:
        return self.folder / "migrations"

    def migration_names(self) -> list[str]:
        return sorted(file.stem for file in self.migrations.glob("[0-9][0-9][0-9][0-9]_*.py"))

    def released_files(self) -> list[Path]:
        """Return what migrations run forwards, oldest first."""
        return sorted(file for file in self.released.glob("*.sql") if not file.name.endswith(".undo.sql"))


def freeze(app: AppSql, name: str, *, again: bool = False, others: tuple[AppSql, ...] = ()) -> list[Path]:
    """Write the SQL from the released definitions to the current ones and return the files: all of them or none.

    `again` rewrites the newest one, which is only right while nobody else can have run it. The migration depends on
    the newest of `others` whose definitions the new ones mention.

    :raises CannotFreeze: if nothing has changed, or the name is malformed or taken
    :raises InvalidDefinition: if `current/` does not hold definitions alone, each once
    """
    before = released_definitions(file for file in app.released_files() if not (again and file.stem == name))
    _refuse_name(app, name, again=again)
    after = current_definitions(app.current)
    forwards, backwards = script(before, after), script(after, before)
    if not forwards:
        raise CannotFreeze(f"Nothing has changed: sql/current/ of {app.label} says what is released already.")
    previous = [each for each in app.migration_names() if each < name]
    dependencies = [(app.label, previous[-1])] if previous else []
    dependencies += _newest_of_others(before, after, others)
    listed = "".join(f"\n        {_pair(each)}," for each in dependencies)
    _write_all(
        {
            app.released / f"{name}.sql": _head(app, name) + forwards,
            app.released / f"{name}.undo.sql": f"-- Leads back from {name}.sql to what was before it.\n\n" + backwards,
            app.migrations / f"{name}.py": _MIGRATION.format(
                dependencies=f"{listed}\n    " if len(dependencies) > 1 else "".join(map(_pair, dependencies)),
                name=name,
            ),
        },
        checksums=app.released / CHECKSUMS,
        may_replace=again,
    )
    return [app.released / f"{name}.sql", app.released / f"{name}.undo.sql", app.migrations / f"{name}.py"]


def with_checksums(listed: str, files: list[Path]) -> str:
    """Return SHA256SUMS, as sha256sum prints it, with these files; it keeps what it says of others, even if wrong."""
    sums = {name: digest for digest, name in (line.split("  ") for line in listed.splitlines())}
    sums |= {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))


def _refuse_name(app: AppSql, name: str, *, again: bool) -> None:
    if not _NAME.fullmatch(name):
        raise CannotFreeze(f"{name} is no name of a migration: four digits, then words in lower case with _ between.")
    names = app.migration_names()
    newest = names[-1] if names else "0000"
    if again:
        if name != newest or not (app.released / f"{name}.sql").is_file():
            raise CannotFreeze(f"Only the newest migration can be written again, where it runs SQL: {newest}.")
        return
    if name[:4] <= newest[:4]:
        raise CannotFreeze(f"The number {name[:4]} is taken: the newest migration of {app.label} is {newest}.")
    words = {each[5:]: each for each in names}
    if name[5:] in words:
        raise CannotFreeze(f"The name {name[5:]} is taken by {words[name[5:]]}.")


def _newest_of_others(before: Definitions, after: Definitions, others: tuple[AppSql, ...]) -> list[tuple[str, str]]:
    changed = [each for key, each in after.items() if key not in before or before[key].text != each.text]
    newest = []
    for other in others:
        names = [name for _, name in released_definitions(other.released_files())]
        if any(each.mentions(name) for each in changed for name in names):
            newest.append((other.label, other.released_files()[-1].stem))
    return newest


def _head(app: AppSql, name: str) -> str:
    return f"-- What migration {name} of {app.label} runs: written by freeze_sql from sql/current/, never edited.\n\n"


def _pair(dependency: tuple[str, str]) -> str:
    return f'("{dependency[0]}", "{dependency[1]}")'


def _write_all(texts: dict[Path, str], *, checksums: Path, may_replace: bool) -> None:
    """Write the files, then their checksums; if one fails, restore the former contents."""
    there = {path: path.read_bytes() if path.exists() else None for path in [*texts, checksums]}
    try:
        for path, text in texts.items():
            with path.open("w" if may_replace else "x", encoding="utf-8") as file:
                file.write(text)
        listed = checksums.read_text(encoding="utf-8") if checksums.exists() else ""
        released = [path for path in texts if path.parent == checksums.parent]
        checksums.write_text(with_checksums(listed, released), encoding="utf-8")
    except FileExistsError as error:
        _put_back({path: was for path, was in there.items() if was is None})
        raise CannotFreeze(f"{error.filename} is there already.") from error
    except BaseException:
        _put_back(there)
        raise


def _put_back(there: dict[Path, bytes | None]) -> None:
    for path, was in there.items():
        if was is None:
            path.unlink(missing_ok=True)
        else:
            path.write_bytes(was)
