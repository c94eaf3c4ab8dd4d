"""`manage.py grant_credits`: grant credits, bought or not."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.selectors import user_named
from config.cli.arguments import (
    credits_argument,
    idempotency_key_argument,
    instant_argument,
    priority_argument,
    text_argument,
)
from config.cli.command import OperatorCommand, Result, prints_result
from ledger.models import EntryReason, GrantCategory
from ledger.serializers.account import EntrySerializer
from ledger.services.grants import GrantTerms, grant_credits


class Command(OperatorCommand):
    help = "Post an entry of type credit. Repeating it with its key returns the entry of the first call."

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="EMAIL", type=text_argument, help="the customer, by email or id")
        parser.add_argument("amount", metavar="AMOUNT", type=credits_argument)
        parser.add_argument("--reason", choices=[EntryReason.PURCHASE.value, EntryReason.GRANT.value], required=True)
        parser.add_argument("--reference", metavar="R", type=text_argument, help="payment id or the like")
        parser.add_argument("--expires-at", metavar="T", type=instant_argument, help="what is left then is gone")
        parser.add_argument(
            "--effective-at",
            metavar="T",
            type=instant_argument,
            help="now or earlier; of equal grants the first is spent first",
        )
        parser.add_argument("--category", choices=GrantCategory.values, help="promotional is spent before paid")
        parser.add_argument(
            "--priority", metavar="N", type=priority_argument, help="0 to 100, usually 50; lower is spent first"
        )
        parser.add_argument("--idempotency-key", metavar="K", type=idempotency_key_argument, required=True)

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        posted = grant_credits(
            user_id=user_named(options["user"]).pk,
            amount=options["amount"],
            reason=EntryReason(options["reason"]),
            reference=options["reference"],
            idempotency_key=options["idempotency_key"],
            terms=GrantTerms(
                category=options["category"] and GrantCategory(options["category"]),
                priority=options["priority"],
                effective_at=options["effective_at"],
                expires_at=options["expires_at"],
            ),
        )
        if posted.is_replay:
            self.say("This key was used before: the entry made then is shown, nothing was posted.")
        return Result(EntrySerializer(posted.entry).data)
