"""`unlock`: clear the failed sign-ins of an account, so that its owner can sign in again."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.selectors import user_named
from accounts.services.signing_in.login_guard import unlock
from config.cli.command import OperatorCommand, Result, prints_result


class Command(OperatorCommand):
    help = "Forget an account's failed sign-ins, so that its owner need not wait. Repeating it changes nothing."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="EMAIL", help="The account's email or id.")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        user = user_named(options["user"])
        return Result({"user_id": user.pk, "email": user.email, "failures": unlock(email=user.email)})
