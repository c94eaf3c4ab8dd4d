"""`reset_second_factor`: for the last superuser, who has nobody to ask. Who may run commands may do more anyway."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from accounts.selectors import user_named
from accounts.services.signing_in.second_factors import reset_second_factors
from config.cli.command import OperatorCommand, Result, prints_result


class Command(OperatorCommand):
    help = "Remove the second factors and end the sessions of somebody who has lost them; an email tells them."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="EMAIL", help="The account's email or id.")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        user = user_named(options["user"])
        removed = reset_second_factors(user_id=user.pk, now=timezone.now())
        return Result({"user_id": user.pk, "email": user.email, "removed": removed})
