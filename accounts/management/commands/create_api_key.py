"""`create_api_key`: a key for a customer, or for a service of the company's own."""

from __future__ import annotations

import datetime as dt
from argparse import ArgumentTypeError
from collections.abc import Mapping
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import transaction
from django.utils import timezone

from accounts.models import MOST_CALLS_PER_MINUTE, Scope
from accounts.selectors import user_named
from accounts.services.account_notices import notify_key_created
from accounts.services.keys.api_keys import IssuedKey, issue_api_key, issue_service_key
from accounts.services.keys.limits import COLUMNS as LIMITS
from accounts.services.keys.limits import KeyLimits
from config.cli.arguments import credits_argument
from config.cli.command import EXIT_USAGE, OperatorCommand, Result, prints_result

_MOST_DAYS = 36_500


class Command(OperatorCommand):
    help = "Issue an API key. It is shown this once: only a hash is stored."

    def add_arguments(self, parser: CommandParser) -> None:
        holder = parser.add_mutually_exclusive_group(required=True)
        holder.add_argument("--user", metavar="EMAIL", help="The customer, by email or id.")
        holder.add_argument("--service", metavar="NAME", help="Instead: a service key of this name.")
        parser.add_argument("--name", help="What the customer calls the key.")
        parser.add_argument(
            "--scope",
            dest="scopes",
            action="extend",
            nargs="+",
            required=True,
            choices=Scope.values,
            help="What calls with the key may do; may be repeated.",
        )
        parser.add_argument(
            "--expires-in-days", type=_days, metavar="D", help="Refuse the key from then on; without it: never."
        )
        parser.add_argument(
            "--rate-limit-per-minute",
            type=_calls,
            metavar="N",
            help="Calls a minute of the key; without it: the site's default, and no limit for a service.",
        )
        parser.add_argument(
            "--spending-limit",
            type=credits_argument,
            metavar="N",
            help="Credits that may be spent with the customer's key until the count restarts; without it: no limit.",
        )
        parser.add_argument(
            "--spending-reset-day",
            type=_day_of_month,
            default=1,
            metavar="D",
            help="Day of the month (UTC) on which the count restarts; default: 1.",
        )

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        issued = self._issue(options)
        self.say("Keep the key now: it cannot be shown again.")
        return Result(
            {
                "id": issued.api_key.pk,
                "key": issued.raw,
                "prefix": issued.api_key.prefix,
                "last4": issued.api_key.last4,
                "scopes": issued.api_key.scopes,
            }
        )

    def _issue(self, options: Mapping[str, Any]) -> IssuedKey:
        now = timezone.now()
        days = options["expires_in_days"]
        expires_at = None if days is None else now + dt.timedelta(days=days)
        name, service, scopes = options["name"], options["service"], options["scopes"]
        limits = KeyLimits(**{name: options[name] for name in LIMITS})
        if service is not None:
            if name is not None:
                raise CommandError("--service names the key already: leave out --name.", returncode=EXIT_USAGE)
            return issue_service_key(name=service, scopes=scopes, now=now, expires_at=expires_at, limits=limits)
        if name is None:
            raise CommandError("--user also needs --name.", returncode=EXIT_USAGE)
        user = user_named(options["user"])
        with transaction.atomic():
            issued = issue_api_key(user=user, name=name, scopes=scopes, now=now, expires_at=expires_at, limits=limits)
            notify_key_created(issued.api_key, is_by_staff=True, now=now)
        return issued


def _days(text: str) -> int:
    return _whole_number(text, most=_MOST_DAYS)


def _calls(text: str) -> int:
    return _whole_number(text, most=MOST_CALLS_PER_MINUTE)


def _day_of_month(text: str) -> int:
    return _whole_number(text, most=31)


def _whole_number(text: str, *, most: int) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= len(str(most)) and 0 < int(text) <= most):
        raise ArgumentTypeError(f"must be a whole number from 1 to {most}, not {text!r}")
    return int(text)
