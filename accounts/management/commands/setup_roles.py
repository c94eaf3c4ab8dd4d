"""`setup_roles`: create the groups of the roles, and give each the permissions of the table (docs/roles.md)."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.services.roles.setting_up import RoleChange, set_up_roles
from accounts.services.roles.table import as_markdown
from config.cli.command import OperatorCommand, Result, prints_result


class Command(OperatorCommand):
    help = (
        "Create the roles support, finance, operations and auditor as groups, and add what the table of roles says. "
        "Repeating it changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--exact", action="store_true", help="also remove what the table does not give a role")
        parser.add_argument("--table", action="store_true", help="only print the table, as Markdown")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        if options["table"]:
            return Result({"table": as_markdown()}, text=as_markdown().rstrip())
        changes = set_up_roles(is_exact=options["exact"])
        data = {
            change.role.value: {
                "created": change.is_new,
                "added": list(change.added),
                "removed": list(change.removed),
                "kept": list(change.extra),
            }
            for change in changes
        }
        return Result(data, text="\n".join(line for change in changes for line in _lines_of(change)))


def _lines_of(change: RoleChange) -> list[str]:
    said = [f"{change.role}: {_summary(change)}"]
    said += [f"  + {name}" for name in change.added]
    said += [f"  - {name}" for name in change.removed]
    return said + [f"  kept, beyond the table: {name}" for name in change.extra]


def _summary(change: RoleChange) -> str:
    if change.is_new:
        return "created"
    return "changed" if change.added or change.removed else "as it should be"
