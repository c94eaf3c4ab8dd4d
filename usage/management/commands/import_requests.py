"""`manage.py import_requests`: a gateway's own log, every line once."""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError, CommandParser

from config.cli.command import EXIT_USAGE, OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from config.rounds import Round
from config.values.credits import plain
from usage.services.imports.customers import Customers, read_customer_map
from usage.services.imports.files import STDIN, LogFile, UnreadableLog, open_log
from usage.services.imports.formats import FORMATS
from usage.services.imports.records import CUSTOMER_FIELDS, FIELDS
from usage.services.imports.run import Import, Report

_SOURCE = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9.-]{0,98}[A-Za-z0-9])?")
_ALWAYS = ("read", "accepted", "duplicates", "rejected", "credits_charged", "unpaid")
_SOMETIMES = ("failed", "incomplete", "uncharged", "uncharged_credits")  # shown when not 0


def source_argument(text: str) -> str:
    """Parse the log's name, which is also the domain of the addresses of customers created from it."""
    if not _SOURCE.fullmatch(text):
        raise ArgumentTypeError("A source is a name of letters, digits, dots and hyphens, such as gateway-1.")
    return text


def place_argument(text: str) -> tuple[str, str]:
    """Parse which field is in which place."""
    name, _, place = text.partition("=")
    if name not in {*CUSTOMER_FIELDS, *FIELDS} or not place:
        raise ArgumentTypeError(f"Write NAME=PLACE; a name is one of {', '.join((*CUSTOMER_FIELDS, *FIELDS))}.")
    return name, place


class Command(OperatorCommand):
    help = (
        "Record the requests of a log. Safe to run again: a line is known by the source, its text and its ordinal "
        "among identical lines, so what an earlier run stored counts as duplicate. What fails for one customer does "
        "not stop the others (exit 1): run it again. --dry-run does all of it in one transaction and takes it back; "
        "balances of the customers concerned are locked meanwhile."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", metavar="FILE", type=Path, help="gzip, bzip2 and xz are read too; - reads stdin")
        parser.add_argument("--format", choices=list(FORMATS), required=True)
        parser.add_argument("--customer-field", choices=CUSTOMER_FIELDS, required=True)
        parser.add_argument(
            "--field",
            metavar="NAME=PLACE",
            type=place_argument,
            action="append",
            default=[],
            help="where a field of JSON lines or CSV stands, such as path=request.uri or latency_ns=Duration",
        )
        parser.add_argument("--source", metavar="NAME", type=source_argument, required=True)
        parser.add_argument("--customers", metavar="MAP.csv", type=Path, help="VALUE,CUSTOMER (email or id) a line")
        parser.add_argument("--create-customers", action="store_true", help="<value>@<source>.invalid for unknown ones")
        parser.add_argument("--charge", action="store_true", help="price and debit the requests")
        parser.add_argument(
            "--complete", action="store_true", help="the log is complete: accept a last line without a line break"
        )
        parser.add_argument("--dry-run", action="store_true", help="print the result, and keep nothing")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        field = options["customer_field"]
        if options["create_customers"] and field not in {"host", "user"}:
            raise CommandError("--create-customers goes with --customer-field host or user.", returncode=EXIT_USAGE)
        if options["field"] and not FORMATS[options["format"]].has_named_fields:
            named = " or ".join(name for name, format in FORMATS.items() if format.has_named_fields)
            raise CommandError(f"--field goes with --format {named}.", returncode=EXIT_USAGE)
        customers = Customers(
            customer_field=field,
            source=options["source"],
            create=options["create_customers"],
            named=read_customer_map(options["customers"]) if options["customers"] else {},
        )
        name = "standard input" if options["file"] == STDIN else str(options["file"])
        try:
            with run_lock(f"import_requests of {options['source']}"), open_log(options["file"]) as log:
                importing = self._import(options, customers, log)
                importing.customers_served = Round(say=self.say, in_transaction=options["dry_run"])
                with self.progress(f"Reading {name}", total=log.size) as advance:
                    lines = _counted(log.lines, advance)
                    report = importing.rehearse(lines) if options["dry_run"] else importing.run(lines)
        except UnreadableLog as reason:
            raise CommandError(f"{name} cannot be read. {reason}") from None
        self._tell(report, lines_before=importing.lines_before)
        figures = {name: plain(value) if "credits" in name else value for name, value in _figures(report).items()}
        unreadable = f"No line of {name} could be read as {options['format']}." if _is_unreadable(report) else None
        return Result(
            figures | ({"dry_run": True} if options["dry_run"] else {}),
            failure=importing.customers_served.failure or unreadable,
        )

    def _import(self, options: Mapping[str, Any], customers: Customers, log: LogFile) -> Import:
        format = FORMATS[options["format"]]
        try:
            parse = format.parser(options["customer_field"], dict(options["field"]), log.lines)
        except ValueError as error:  # the log has no such field
            raise CommandError(str(error), returncode=EXIT_USAGE) from None
        return Import(
            options["source"],
            parse,
            customers,
            options["charge"],
            lines_before=format.header_lines,
            is_complete=options["complete"] or log.is_packed,
            proves_its_end=format.proves_its_end,
        )

    def _tell(self, report: Report, *, lines_before: int) -> None:
        for number, reason in report.first_rejections:
            self.say(f"line {number}: {reason}")
        if report.rejected > len(report.first_rejections):
            self.say(f"… and {report.rejected - len(report.first_rejections)} more rejected lines")
        if report.incomplete:
            self.say(
                f"line {lines_before + report.read + 1}: it has no end, so it may still be in the making: left for the "
                "next run (--complete takes it)"
            )
        if report.uncharged:
            self.say(
                f"{report.uncharged} requests were recorded earlier by an import without --charge and stay free: they "
                f"would have cost {plain(report.uncharged_credits)} credits, which adjust_credits can take."
            )


def _figures(report: Report) -> dict[str, Any]:
    figures = {name: getattr(report, name) for name in (*_ALWAYS, *_SOMETIMES)}
    return {name: value for name, value in figures.items() if name in _ALWAYS or value}


def _is_unreadable(report: Report) -> bool:
    return report.read > 0 and report.unreadable == report.read


def _counted(lines: Iterable[bytes], note_bytes: Callable[[int], None]) -> Iterator[bytes]:
    held = 0
    for line in lines:
        held += len(line)
        if held > 1_000_000:
            note_bytes(held)
            held = 0
        yield line
    note_bytes(held)
