"""`manage.py postgres`: control the embedded database."""

from __future__ import annotations

import json
import os
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.postgres.binaries import find_binaries, find_psql
from config.postgres.cluster import APP_ROLE, OWNER_ROLE, Cluster, default_cluster
from config.postgres.processes import Account, EmbeddedPostgresError


class Command(BaseCommand):
    """Start, stop, show, open or empty the database that is used when DATABASE_URL is unset."""

    help = "The embedded database: start, stop, status, psql, reset. Exit codes: 0 done, 1 refused, 2 wrong usage."
    requires_system_checks: list[str] = []  # noqa: RUF012  Django's own declaration

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True, metavar="action")
        actions.add_parser("start", help="start it, unless it runs; the project also does so automatically")
        actions.add_parser("stop", help="stop it; nothing is lost")
        status = actions.add_parser("status", help="show whether it runs, and where")
        status.add_argument("--json", action="store_true", help="one JSON object")
        psql = actions.add_parser("psql", help="open it in psql, as the application's role")
        psql.add_argument("--owner", action="store_true", help="as the role that owns the tables")
        psql.add_argument("arguments", nargs="*", metavar="argument", help="for psql, after --")
        reset = actions.add_parser("reset", help="delete all of its data and start an empty one")
        reset.add_argument("--yes", action="store_true", help="do not ask")

    def handle(self, *, action: str, **options: Any) -> None:
        in_use = not os.environ.get("DATABASE_URL", "").strip()
        if not in_use and action != "status":
            raise CommandError(
                "The embedded database is not in use: DATABASE_URL names another one (manage.py dbshell opens it)."
            )
        cluster = default_cluster()
        try:
            if action == "status":
                self._status(cluster, in_use=in_use, as_json=options["json"])
            elif action == "psql":
                _become_psql(cluster, OWNER_ROLE if options["owner"] else APP_ROLE, options["arguments"])
            elif action == "reset":
                self._reset(cluster, sure=options["yes"])
            elif action == "stop":
                self.stderr.write("Stopped." if cluster.stop() else "It was not running.")
            else:
                cluster.ensure_running()
                self.stderr.write(f"Running; the socket is in {cluster.socket_dir}.")
        except EmbeddedPostgresError as refusal:
            raise CommandError(str(refusal)) from refusal

    def _status(self, cluster: Cluster, *, in_use: bool, as_json: bool) -> None:
        status = cluster.status()
        facts: dict[str, str | bool | None] = {
            "running": status.running,
            "in_use": in_use,
            "server_version": status.server_version,
            "home": str(status.home),
            "socket_dir": str(status.socket_dir),
        }
        if as_json:
            self.stdout.write(json.dumps(facts))
        else:
            for name, value in facts.items():
                shown = ("yes" if value else "no") if isinstance(value, bool) else value or "-"
                self.stdout.write(f"{name.replace('_', ' '):<15} {shown}")

    def _reset(self, cluster: Cluster, *, sure: bool) -> None:
        if not sure:
            self.stderr.write(f"This deletes all data in {cluster.home}. Type yes to go on: ", ending="")
            self.stderr.flush()
            if sys.stdin.readline().strip().lower() != "yes":
                raise CommandError("Nothing was deleted.")
        cluster.remove()
        cluster.ensure_running()
        self.stderr.write("The database is empty now: migrate fills it again.")


def _become_psql(cluster: Cluster, role: str, arguments: list[str]) -> None:
    """Replace this process by psql."""
    cluster.ensure_running()
    psql = find_psql(find_binaries(Account(os.geteuid(), os.getegid())))
    os.execv(psql, [str(psql), "-d", cluster.dsn(user=role), *arguments])  # noqa: S606  a program of the PostgreSQL found
