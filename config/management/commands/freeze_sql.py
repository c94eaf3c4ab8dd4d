"""`manage.py freeze_sql`: write the migration for what was changed in an app's `sql/current/`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.apps import AppConfig, apps
from django.core.management.base import BaseCommand, CommandError, CommandParser

from config.db.definitions import InvalidDefinition
from config.db.freezing import AppSql, CannotFreeze, freeze


class Command(BaseCommand):
    """Write a released file, its undo file, their checksums and the migration that runs them."""

    help = (
        "Write the migration for what was changed in APP's sql/current/: sql/released/NNNN_name.sql with the changed "
        "functions, types and triggers alone, its undo file, and migrations/NNNN_name.py."
    )
    requires_system_checks: list[str] = []  # noqa: RUF012  Django's own declaration

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("app", metavar="APP", help="ledger or usage")
        parser.add_argument("name", metavar="NNNN_name", help="the migration's name: the next number, and words")
        parser.add_argument("--again", action="store_true", help="rewrite the newest one, while nobody else has run it")

    def handle(self, *, app: str, name: str, again: bool, **_options: Any) -> None:
        with_sql = {config.label: config for config in apps.get_app_configs() if _sql_of(config).current.is_dir()}
        if app not in with_sql:
            raise CommandError(f"{app} has no sql/current/: one of {', '.join(sorted(with_sql))}.", returncode=2)
        others = tuple(_sql_of(config) for label, config in with_sql.items() if label != app)
        try:
            written = freeze(_sql_of(with_sql[app]), name, again=again, others=others)
        except (CannotFreeze, InvalidDefinition) as refusal:
            raise CommandError(str(refusal)) from refusal
        for file in written:
            self.stdout.write(str(file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file))


def _sql_of(config: AppConfig) -> AppSql:
    return AppSql(config.label, Path(config.path))
