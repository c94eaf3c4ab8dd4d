"""`manage.py import_requests`: a gateway's own log, every line once."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from config.cli.command import EXIT_USAGE, OperatorCommand, Result
from config.cli.run_lock import run_lock
from config.http.numbers import plain
from config.rounds import Round
from usage.services.importing import Customers, Import, Report, read_customer_map
from usage.services.log_formats import CUSTOMER_FIELDS, LineParser, combined_parser, csv_parser, jsonl_parser

_SOURCE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,98}[A-Za-z0-9])?")


def source_argument(text: str) -> str:
    """Read the log's name, which also ends the addresses of the customers made from it."""
    if not _SOURCE.fullmatch(text):
        raise ArgumentTypeError("A source is a name of letters, digits, dots and hyphens, such as gateway-1.")
    return text


class Command(OperatorCommand):
    help = (
        "Record the requests of a log. Safe to run again: a line is known by the source, its text and its ordinal "
        "among identical lines, so what an earlier run stored counts as duplicate. What fails for one customer does "
        "not stop the others (exit 1): run it again. --dry-run does all of it in one transaction and takes it back; "
        "balances of the customers concerned are locked meanwhile."
    )

    def take(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path)
        parser.add_argument("--format", choices=["combined", "jsonl", "csv"], required=True)
        parser.add_argument("--customer-field", choices=CUSTOMER_FIELDS, required=True)
        parser.add_argument("--source", metavar="NAME", type=source_argument, required=True)
        parser.add_argument("--customers", metavar="MAP.csv", type=Path, help="VALUE,CUSTOMER (email or id) a line")
        parser.add_argument("--create-customers", action="store_true", help="<value>@<source>.invalid for unknown ones")
        parser.add_argument("--charge", action="store_true", help="price and debit the requests")
        parser.add_argument("--dry-run", action="store_true", help="say what would come of it, and keep nothing")

    def run(self, options: Mapping[str, Any]) -> Result:
        field = options["customer_field"]
        if options["create_customers"] and field not in {"host", "user"}:
            raise CommandError("--create-customers goes with --customer-field host or user.", returncode=EXIT_USAGE)
        customers = Customers(
            customer_field=field,
            source=options["source"],
            create=options["create_customers"],
            named=read_customer_map(options["customers"]) if options["customers"] else {},
        )
        with (
            run_lock(f"import_requests of {options['source']}"),
            options["file"].open("rb") as file,
            self._read_bytes(options["file"]) as note_bytes,
        ):
            parse, lines = self._open(options["format"], field, file)
            header_lines = 1 if options["format"] == "csv" else 0
            importing = Import(options["source"], parse, customers, options["charge"], header_lines)
            importing.customers_served = Round(say=self.say, in_transaction=options["dry_run"])
            counted = _counted(lines, note_bytes)
            report = importing.rehearse(counted) if options["dry_run"] else importing.run(counted)
        self._tell_rejections(report)
        figures = asdict(report) | {"credits_charged": plain(report.credits_charged)}
        del figures["first_rejections"]
        if not report.failed:
            del figures["failed"]
        failure = importing.customers_served.failure
        return Result(figures | ({"dry_run": True} if options["dry_run"] else {}), failure=failure)

    def _open(self, format: str, field: str, file: Iterable[bytes]) -> tuple[LineParser, Iterable[bytes]]:
        lines = iter(file)
        try:
            if format == "combined":
                return combined_parser(field), lines
            if format == "jsonl":
                return jsonl_parser(field), lines
            header = next(lines, b"").rstrip(b"\r\n").decode("utf-8", errors="replace")
            return csv_parser(field, header), lines
        except ValueError as error:
            raise CommandError(str(error), returncode=EXIT_USAGE) from None

    @contextmanager
    def _read_bytes(self, path: Path) -> Iterator[Callable[[int], None]]:
        with self.progress(f"Reading {path.name}", total=path.stat().st_size) as advance:
            yield advance

    def _tell_rejections(self, report: Report) -> None:
        for number, reason in report.first_rejections:
            self.say(f"line {number}: {reason}")
        if report.rejected > len(report.first_rejections):
            self.say(f"… and {report.rejected - len(report.first_rejections)} more rejected lines")


def _counted(lines: Iterable[bytes], note_bytes: Callable[[int], None]) -> Iterator[bytes]:
    held = 0
    for line in lines:
        held += len(line)
        if held > 1_000_000:
            note_bytes(held)
            held = 0
        yield line
    note_bytes(held)
