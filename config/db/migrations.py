"""SQL files in migrations: a migration runs the file of its own name, and its undo file backwards."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations


def sql_file(migration_path: str, name: str) -> migrations.RunSQL:
    """Run `<app>/sql/<name>.sql`, and `<name>.undo.sql` to reverse it.

    Once released such a file is frozen; a changed function is a new file with a new migration.
    """
    folder = Path(migration_path).resolve().parent.parent / "sql"
    return migrations.RunSQL(
        sql=(folder / f"{name}.sql").read_text(encoding="utf-8"),
        reverse_sql=(folder / f"{name}.undo.sql").read_text(encoding="utf-8"),
    )
