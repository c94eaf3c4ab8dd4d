"""`manage.py change_subscription`: change, pause, resume or cancel a subscription."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser

from accounts.models import BillingInterval
from accounts.selectors import plan_with_code, user_named
from config.cli.arguments import idempotency_key_argument, text_argument
from config.cli.command import EXIT_USAGE, OperatorCommand, Result, prints_result
from ledger.management.subscriptions import change_result
from ledger.services.subscriptions import actions
from ledger.services.subscriptions.changes import Done


class Command(OperatorCommand):
    help = (
        "Put a customer's subscription on another plan (more credits come at once for the rest of the period, "
        "everything else waits for the next one), pause, resume or cancel it. Repeating it with its key does nothing "
        "more."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="EMAIL", type=text_argument, help="email or id")
        parser.add_argument("action", choices=("plan", "pause", "resume", "cancel"), metavar="plan|pause|resume|cancel")
        parser.add_argument("--plan", metavar="CODE", type=text_argument, help="with plan: the plan's code")
        parser.add_argument("--interval", choices=BillingInterval.values, default=BillingInterval.MONTHLY.value)
        parser.add_argument("--at-period-end", action="store_true", help="with plan: more credits wait, too")
        parser.add_argument("--at-once", action="store_true", help="with cancel: not only when the period ends")
        parser.add_argument("--note", metavar="TEXT", type=text_argument, default="Changed by an operator")
        parser.add_argument("--idempotency-key", metavar="K", type=idempotency_key_argument, required=True)

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        if (options["plan"] is None) == (options["action"] == "plan"):
            raise CommandError("Give --plan with plan, and with nothing else.", returncode=EXIT_USAGE)
        return change_result(self._done(options))

    def _done(self, options: Mapping[str, Any]) -> Done:
        named = {
            "user_id": user_named(options["user"]).pk,
            "note": options["note"],
            "actor_id": None,
            "idempotency_key": options["idempotency_key"],
        }
        match options["action"]:
            case "plan":
                return actions.change_plan(
                    plan=plan_with_code(options["plan"]),
                    interval=BillingInterval(options["interval"]),
                    at_period_end=options["at_period_end"],
                    **named,
                )
            case "pause":
                return actions.pause_subscription(**named)
            case "resume":
                return actions.resume_subscription(**named)
        return actions.cancel_subscription(at_once=options["at_once"], **named)
