"""`manage.py dbshell`: psql on this installation's database, with every option of its address."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.management.commands import dbshell
from django.db import connections
from django.db.backends.postgresql.client import DatabaseClient
from psycopg.conninfo import make_conninfo

_DJANGOS_OWN = {"prepare_threshold"}


class Client(DatabaseClient):
    """Pass every option of the address to psql: Django passes a few of TLS and drops the other ones."""

    @classmethod
    def settings_to_cmd_args_env(
        cls, settings_dict: dict[str, Any], parameters: Iterable[str]
    ) -> tuple[list[str], dict[str, str] | None]:
        options = {name: value for name, value in settings_dict["OPTIONS"].items() if name not in _DJANGOS_OWN}
        place = {"dbname": settings_dict["NAME"], "user": settings_dict["USER"], "host": settings_dict["HOST"]}
        given = {name: value for name, value in {**place, "port": settings_dict["PORT"]}.items() if value}
        password = settings_dict["PASSWORD"]  # an environment variable, since process lists show arguments
        address = make_conninfo(**given, **options)
        return [cls.executable_name, *parameters, address], {"PGPASSWORD": password} if password else None


class Command(dbshell.Command):
    """Django's command with that client."""

    def handle(self, **options: Any) -> None:
        connection = connections[options["database"]]
        connection.client = Client(connection)
        super().handle(**options)
