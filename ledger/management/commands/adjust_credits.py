"""`manage.py adjust_credits`: adjust a balance, with a reason, a note and an actor."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import User
from accounts.selectors import user_named
from config.cli.arguments import idempotency_key_argument, signed_credits_argument, text_argument
from config.cli.command import OperatorCommand, Result, prints_result
from ledger.models import AdjustmentReason
from ledger.serializers.account import EntrySerializer
from ledger.services.adjustments.posting import adjust_credits


class Command(OperatorCommand):
    help = (
        "Post an entry of type adjustment; AMOUNT is signed. Repeating it with its key returns the entry of the "
        "first call. The admin's limits do not apply here; the actor is recorded."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="EMAIL", type=text_argument, help="the customer, by email or id")
        parser.add_argument("amount", metavar="AMOUNT", type=signed_credits_argument)
        parser.add_argument("--reason", choices=AdjustmentReason.values, required=True)
        parser.add_argument("--note", metavar="TEXT", type=text_argument, required=True, help="customers read it too")
        parser.add_argument("--actor", metavar="STAFF_EMAIL", type=text_argument, required=True)
        parser.add_argument("--idempotency-key", metavar="K", type=idempotency_key_argument, required=True)

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        posted = adjust_credits(
            user_id=user_named(options["user"]).pk,
            amount=options["amount"],
            reason=AdjustmentReason(options["reason"]),
            note=options["note"],
            actor_id=self._staff(options["actor"]).pk,
            idempotency_key=options["idempotency_key"],
        )
        if posted.is_replay:
            self.say("This key was used before: the entry made then is shown, nothing was posted.")
        return Result(EntrySerializer(posted.entry).data)

    def _staff(self, named: str) -> User:
        actor = user_named(named)
        if not (actor.is_staff and actor.is_active):
            raise CommandError(f"{actor.email} is not an active member of the staff.")
        return actor
