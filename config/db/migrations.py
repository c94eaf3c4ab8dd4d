"""SQL files in migrations: a migration runs the file of its own name, and its undo file backwards."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from django.db import migrations


def sql_file(migration_path: str, name: str, *, restores: Sequence[str] = ()) -> migrations.RunSQL:
    """Run `<app>/sql/<name>.sql`, and `<name>.undo.sql`, where there is one, to reverse it.

    Once released such a file is frozen; a changed function is a new file with a new migration. Its undo file drops what
    `restores` makes again after it: all of an older file (`0004_charge`), or one function or type of it
    (`0003_move:ledger_move`), where others depend on the rest.
    """
    folder = Path(migration_path).resolve().parent.parent / "sql"
    if not (folder / f"{name}.undo.sql").exists():
        return migrations.RunSQL(sql=_text(folder, name), reverse_sql=migrations.RunSQL.noop)
    return migrations.RunSQL(
        sql=_text(folder, name),
        reverse_sql="\n".join(_text(folder, each) for each in (f"{name}.undo", *restores)),
    )


def _text(folder: Path, name: str) -> str:
    file, _, made = name.partition(":")
    text = (folder / f"{file}.sql").read_text(encoding="utf-8")
    if not made:
        return text
    # Whatever stands at the beginning of a line and is none of these ends or continues a statement.
    statement = re.search(
        rf"^CREATE (?:OR REPLACE )?(?:FUNCTION|TYPE) {made}\b.*?(?=^(?:--|CREATE|ALTER|DROP|SELECT)|\Z)",
        text,
        re.DOTALL | re.MULTILINE,
    )
    if statement is None:
        raise LookupError(f"{file}.sql makes no {made}")
    return statement.group()
