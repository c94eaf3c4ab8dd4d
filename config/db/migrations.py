"""SQL files in migrations: a migration runs the file of its own name, and its undo file backwards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from django.db import migrations


def sql_file(migration_path: str, name: str, *, restores: Sequence[str] = ()) -> migrations.RunSQL:
    """Run `<app>/sql/<name>.sql`, and `<name>.undo.sql` to reverse it.

    Once released such a file is frozen; a changed function is a new file with a new migration. Its undo file drops all
    that the older files in `restores` had made, and they are run again after it.
    """
    folder = Path(migration_path).resolve().parent.parent / "sql"
    undo = [f"{name}.undo", *restores]
    return migrations.RunSQL(
        sql=(folder / f"{name}.sql").read_text(encoding="utf-8"),
        reverse_sql="\n".join((folder / f"{each}.sql").read_text(encoding="utf-8") for each in undo),
    )
