"""`revoke_api_key`: withdraw a key for good."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.services.keys.api_keys import revoke_api_key
from config.cli.command import OperatorCommand, Result, prints_result


class Command(OperatorCommand):
    help = "Withdraw an API key for good. Repeating it changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("prefix", metavar="PREFIX", help="Its 12 public characters, with or without tb_live_.")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        revoked = revoke_api_key(prefix=options["prefix"], now=timezone.now())
        return Result({"id": revoked.pk, "prefix": revoked.prefix, "revoked_at": revoked.revoked_at})
