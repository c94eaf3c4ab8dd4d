"""`manage.py start_subscription`: put a customer on a plan."""

from __future__ import annotations

from typing import Any

from django.core.management.base import CommandParser

from accounts.models import BillingInterval
from accounts.selectors import plan_with_code, user_named
from config.cli.arguments import idempotency_key_argument, instant_argument, text_argument
from config.cli.command import OperatorCommand, Result, prints_result
from ledger.management.subscriptions import change_result
from ledger.services.subscriptions.actions import start_subscription


class Command(OperatorCommand):
    help = (
        "Put a customer on a plan: the first period's credits come at once, and each later one's when it begins. With "
        "--starts-at periods are counted from an earlier time, and what was due since comes at once. Repeating it "
        "with its key does nothing more."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="EMAIL", type=text_argument, help="email or id")
        parser.add_argument("plan", metavar="PLAN", type=text_argument, help="the plan's code")
        parser.add_argument("--interval", choices=BillingInterval.values, default=BillingInterval.MONTHLY.value)
        parser.add_argument("--starts-at", metavar="T", type=instant_argument, help="default: now; never later")
        parser.add_argument("--ends-at", metavar="T", type=instant_argument, help="default: never")
        parser.add_argument("--note", metavar="TEXT", type=text_argument, default="Started by an operator")
        parser.add_argument("--idempotency-key", metavar="K", type=idempotency_key_argument, required=True)

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        done = start_subscription(
            user_id=user_named(options["user"]).pk,
            plan=plan_with_code(options["plan"]),
            interval=BillingInterval(options["interval"]),
            starts_at=options["starts_at"],
            ends_at=options["ends_at"],
            note=options["note"],
            actor_id=None,
            idempotency_key=options["idempotency_key"],
        )
        return change_result(done)
