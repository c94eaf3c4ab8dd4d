"""`manage.py set_price`: a new version of what an endpoint costs."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from config.cli.arguments import instant_argument, nonnegative_credits_argument
from config.cli.command import OperatorCommand, Result, prints_result
from config.values.credits import plain
from usage.services.prices import set_price


class Command(OperatorCommand):
    help = (
        "Add a version of an endpoint's price; old ones stay. ENDPOINT is a code, a route template (/v1/items/{id}), "
        "a suffix glob (*.png), or *. CREDITS, for each unit, may be 0: free, unless a minimum is given."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("endpoint", metavar="ENDPOINT")
        parser.add_argument("credits", metavar="CREDITS", type=nonnegative_credits_argument)
        parser.add_argument(
            "--minimum",
            metavar="N",
            type=nonnegative_credits_argument,
            default=Decimal(0),
            help="the least that a request costs, in credits, however few its units; default: 0",
        )
        parser.add_argument("--method", metavar="M", default="", help="only for this HTTP method")
        parser.add_argument("--charge-failures", action="store_true", help="failed requests cost too")
        parser.add_argument("--effective-from", metavar="T", type=instant_argument, help="default: now")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        price = set_price(
            endpoint=options["endpoint"],
            credits=options["credits"],
            minimum=options["minimum"],
            method=options["method"],
            charge_failures=options["charge_failures"],
            effective_from=options["effective_from"] or timezone.now(),
        )
        return Result(
            {
                "id": price.pk,
                "endpoint": price.endpoint,
                "method": price.method or None,
                "credits": plain(price.credits),
                "minimum": plain(price.minimum),
                "charge_failures": price.charge_failures,
                "effective_from": price.effective_from,
            }
        )
