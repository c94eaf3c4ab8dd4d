"""`manage.py maintain_partitions`: create months of the request log ahead, and drop old ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

from django.core.management.base import CommandParser
from django.utils import timezone

from config.cli.arguments import count_argument
from config.cli.command import OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from usage.services.retention import drop_old_months, make_months_ahead


class Command(OperatorCommand):
    help = (
        "Make the next months' partitions of the request log, and drop each month all of whose requests were "
        "recorded longer ago than is kept. Statistics stay; those with an edge inside a dropped month are answered "
        "in whole days. Dropping uses DATABASE_OWNER_URL."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--ahead", metavar="N", type=count_argument, default=3, help="months to make (3)")
        parser.add_argument("--keep-months", metavar="N", type=count_argument, default=13, help="months to keep (13)")
        parser.add_argument("--dry-run", action="store_true", help="only say what would be done")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        now, dry_run = timezone.now(), options["dry_run"]
        with run_lock("maintain_partitions"):
            made = make_months_ahead(now=now, ahead=options["ahead"], dry_run=dry_run)
            old = drop_old_months(now=now, keep_months=options["keep_months"], dry_run=dry_run)
        data = {
            "created": _named(made),
            "dropped": [{"month": f"{month:%Y-%m}", "requests": count} for month, count in old.dropped.items()],
            "kept_for_late_requests": _named(old.kept),
            "dry_run": dry_run,
        }
        return Result(data, text=_text(data))


def _named(months: Iterable[dt.date]) -> list[str]:
    return [f"{month:%Y-%m}" for month in months]


def _text(data: Mapping[str, Any]) -> str:
    would = "Would have " if data["dry_run"] else ""
    lines = [f"{would}created {month}." for month in data["created"]]
    lines += [f"{would}dropped {one['month']}: {one['requests']} requests." for one in data["dropped"]]
    lines += [f"Kept {month}: some of its requests were recorded lately." for month in data["kept_for_late_requests"]]
    return "\n".join(line[0].upper() + line[1:] for line in lines) or "Nothing to do."
