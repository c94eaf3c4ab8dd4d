"""`migrate`, run as the owner of the tables; afterwards the application's role gets its rights, and no more."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.core.management.commands.migrate import Command as DjangoMigrate
from django.db import connections

from config.db.roles import grant_application_rights


class Command(DjangoMigrate):
    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.set_defaults(database="owner")

    def handle(self, *args: Any, **options: Any) -> None:
        super().handle(*args, **options)
        if not (options["plan"] or options["check_unapplied"]):
            application = connections["default"].settings_dict["USER"]
            grant_application_rights(connections[options["database"]], application)
