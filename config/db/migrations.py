"""SQL in migrations: a migration runs the released file of its own name, and its undo file backwards."""

from __future__ import annotations

from pathlib import Path

from django.db import migrations


def sql_file(migration_path: str, name: str) -> migrations.RunSQL:
    """Run `<app>/sql/released/<name>.sql`, and `<name>.undo.sql` to reverse it.

    `manage.py freeze_sql` writes both, from the definitions in `<app>/sql/current/`; once released they never change.
    """
    released = Path(migration_path).resolve().parent.parent / "sql" / "released"
    return migrations.RunSQL(
        sql=(released / f"{name}.sql").read_text(encoding="utf-8"),
        reverse_sql=(released / f"{name}.undo.sql").read_text(encoding="utf-8"),
    )
