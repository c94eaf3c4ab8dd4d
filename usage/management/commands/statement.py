"""`manage.py statement`: a customer's statement of one month, as PDF or CSV."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.utils import timezone

from accounts.selectors import user_named
from config.cli.arguments import month_argument, text_argument
from config.cli.command import OperatorCommand, Result, prints_result
from config.values.credits import plain
from usage.documents.formats import Format, document_of
from usage.documents.statement_pdf import PAPERS
from usage.services.statements.statement import statement_of


class Command(OperatorCommand):
    help = (
        "Write a customer's statement of one month: opening balance, what moved it by day, closing balance, grants "
        "that remain. The same month of the same data is the same file."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("user", metavar="EMAIL", type=text_argument, help="the customer, by email or id")
        parser.add_argument("--month", metavar="YYYY-MM", type=month_argument, required=True)
        parser.add_argument("--format", choices=[each.value for each in Format], default=Format.PDF.value)
        parser.add_argument("--paper", choices=PAPERS, default=PAPERS[0], help="of a PDF")
        parser.add_argument(
            "--output", metavar="FILE", type=Path, help="where to; usually statement-ID-YYYY-MM in this folder"
        )

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        statement = statement_of(user_id=user_named(options["user"]).pk, month=options["month"], now=timezone.now())
        document = document_of(statement, format=Format(options["format"]), paper=options["paper"])
        file: Path = options["output"] or Path(document.filename)
        try:
            file.write_bytes(document.content)
        except OSError as error:
            raise CommandError(f"{file} cannot be written: {error.strerror}.") from error
        return Result(
            {
                "file": str(file),
                "bytes": len(document.content),
                "month": f"{statement.month:%Y-%m}",
                "is_running": statement.is_running,
                "opening": plain(statement.opening),
                "received": plain(statement.received),
                "used": plain(statement.used),
                "taken": plain(statement.taken),
                "closing": plain(statement.closing),
            }
        )
