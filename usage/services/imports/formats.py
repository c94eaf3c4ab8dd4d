"""The formats in which logs are imported: one entry each.

A new format is an entry of `FORMATS`, its parser in a module beside this one, and its test.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from usage.services.imports.combined import combined_parser
from usage.services.imports.records import csv_parser, jsonl_parser
from usage.services.imports.reported import LineParser


@dataclass(frozen=True)
class Format:
    """How the lines of a log are read.

    `parser` accepts the customer field, the places of fields that are not under their own names, and the log's lines,
    of which it reads the first `header_lines`; it raises ValueError if the log has no such field. `has_named_fields`:
    the operator may name such places. `proves_its_end`: a line that can be parsed is whole, even without a line break.
    """

    parser: Callable[[str, Mapping[str, str], Iterator[bytes]], LineParser]
    header_lines: int = 0
    has_named_fields: bool = True
    proves_its_end: bool = False


def _csv(customer_field: str, places: Mapping[str, str], lines: Iterator[bytes]) -> LineParser:
    header = next(lines, b"").rstrip(b"\r\n").decode("utf-8", errors="replace")
    return csv_parser(customer_field, header, places)


FORMATS: Mapping[str, Format] = {
    "combined": Format(lambda customer_field, _places, _lines: combined_parser(customer_field), has_named_fields=False),
    "jsonl": Format(lambda customer_field, places, _lines: jsonl_parser(customer_field, places), proves_its_end=True),
    "csv": Format(_csv, header_lines=1),
}
