"""`manage.py doctor`: check this installation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from django import db
from django.db import connection

from config.cli.command import OperatorCommand, Result, prints_result
from config.doctor import installation, rights, server, staff, structure, transport
from config.doctor.finding import Finding
from ledger.providers.registry import webhook_senders

Check = Callable[[], Iterator[Finding]]
CHECKS: dict[str, Check] = {
    "settings": installation.site_settings,
    **{f"{name}_key": partial(installation.provider_key, name) for name in webhook_senders()},
    "anchors": installation.anchors,
    "spool": installation.spool,
    "version": server.version,
    "migrations": structure.migrations,
    "durability": server.durability,
    "timeouts": server.timeouts,
    "clock": server.clock,
    "transport": transport.transport,
    "logins": rights.logins,
    "rights": rights.tables,
    "doors": rights.functions,
    "triggers": structure.triggers,
    "constraints": structure.constraints,
    "partitions": structure.partitions,
    "roles": staff.roles,
    "second_factors": staff.second_factors,
    "payments": installation.payments,
    "alerts": installation.alerts,
    "auto_reload": installation.auto_reload,
    "webhooks": installation.webhooks,
    "subscriptions": installation.subscriptions,
}


class Command(OperatorCommand):
    help = (
        "Look at the settings, the server, both logins, triggers, constraints and partitions. Changes nothing. "
        "Exit 3 with findings; each says what to do."
    )
    requires_system_checks: list[str] = []  # noqa: RUF012  Django's own declaration; they are one of the checks

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        findings = [finding for name in CHECKS for finding in _found(name)]
        data = {
            "checked": list(CHECKS),
            "findings": [finding.as_dict() for finding in findings],
            "server_version": _server_version(),
        }
        lines = [f"{finding.check}: {finding.detail}" for finding in findings]
        verdict = f"{len(findings)} findings" if findings else "nothing found"
        lines.append(f"PostgreSQL {data['server_version']}; checked {', '.join(CHECKS)}: {verdict}.")
        return Result(data, text="\n".join(lines), findings=len(findings))


def _found(name: str) -> list[Finding]:
    try:
        return list(CHECKS[name]())
    except db.Error as error:
        reason = str(error).strip().splitlines()[0]
        return [Finding(name, f"This could not be looked at ({reason}): see to the database and run it again.")]


def _server_version() -> str | None:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SHOW server_version")
            return str(cursor.fetchone()[0])
    except db.Error:
        return None
