"""`manage.py create_customer`: create a customer's account."""

from __future__ import annotations

import os
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction

from accounts.services.signing_in.registration import create_customer
from config.cli.arguments import credits_argument, text_argument
from config.cli.command import OperatorCommand, Result, prints_result
from ledger.models import EntryReason
from ledger.services.grants import grant_credits


class Command(OperatorCommand):
    help = "Make a customer's account. Without a password, one can only be set by reset. An existing email: exit 1."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("email", metavar="EMAIL", type=text_argument)
        parser.add_argument("--full-name", metavar="N", default="")
        parser.add_argument("--password-env", metavar="VAR", help="environment variable that holds the password")
        parser.add_argument("--credits", metavar="N", type=credits_argument, help="post one grant of so many credits")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        password = self._password(options["password_env"])
        with transaction.atomic():
            user = create_customer(email=options["email"], full_name=options["full_name"], password=password)
            if options["credits"] is not None:
                grant_credits(
                    user_id=user.pk,
                    amount=options["credits"],
                    reason=EntryReason.GRANT,
                    reference=None,
                    idempotency_key=f"create_customer:{user.pk}",
                )
        return Result({"user_id": user.pk, "email": user.email})

    def _password(self, variable: str | None) -> str | None:
        if variable is None:
            return None
        password = os.environ.get(variable)
        if not password:
            raise CommandError(f"The environment variable {variable} is not set: it should hold the password.")
        return password
