"""`migrate`, run as the owner of the tables; then the application's role is granted its rights, and no more."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db import connections
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.migrations.recorder import MigrationRecorder

from config.db.roles import grant_application_rights


class Command(DjangoMigrate):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def handle(self, *args: Any, **options: Any) -> None:
        refuse_an_old_history(connections[options["database"]])
        super().handle(*args, **options)
        if not (options["plan"] or options["check_unapplied"]):
            application = connections["default"].settings_dict["USER"]
            grant_application_rights(connections[options["database"]], application)


def refuse_an_old_history(connection: BaseDatabaseWrapper) -> None:
    """Refuse a database with migrations that were squashed before the first release (docs/decisions/0047)."""
    applied = {name for app, name in MigrationRecorder(connection).applied_migrations() if app == "ledger"}
    if applied and "0001_initial" not in applied:
        raise CommandError(
            f"The database {connection.settings_dict['NAME']} was made by a development version whose migrations are "
            f"gone ({min(applied)} of ledger is one). Nothing has been released since, so there is no way from there: "
            "delete its data with manage.py postgres reset (another server: DROP DATABASE and CREATE DATABASE), then "
            "migrate again."
        )
