"""CSV answers, streamed row by row, that no spreadsheet runs as formulas."""

from __future__ import annotations

import csv
import datetime as dt
import re
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import Any

from django.http import StreamingHttpResponse

from config.values.credits import plain
from config.values.json import exact_json
from config.values.timestamps import instant_text

# What a spreadsheet takes for a formula: one of these, of full width too, behind any blanks or marks that it skips.
_SIGNS = "[=+\\-@\uff1d\uff0b\uff0d\uff20]"
_BLANKS = "[\\s\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*"
_FORMULA = re.compile(f"[\t\r\n]|{_BLANKS}{_SIGNS}")
# Some programs part a line at other signs than commas, and then a quoted cell ends there too.
_INNER_FORMULA = re.compile(f"([;|\t\r\n])({_BLANKS})({_SIGNS})")
_ROWS_A_CHUNK = 200


class _Echo:
    """A file that gives back what is written to it, for `csv.writer`."""

    def write(self, text: str) -> str:
        return text


def csv_answer(*, filename: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """Stream a header and rows as a file to save; `rows` is read only as fast as the client takes it."""
    return StreamingHttpResponse(
        _chunks(header, rows),
        content_type="text/csv; charset=utf-8",
        headers={
            "Content-Disposition": f'attachment; filename="{filename}"',
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
        },
    )


def cell(value: Any) -> str:
    """Write one cell: numbers stay numbers; text that would start a formula gets an apostrophe where it would.

    Wherever a program may part the line: `x;=1+1` is two cells to a spreadsheet of many countries.
    """
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Decimal):
        return f"{plain(value):f}"
    if isinstance(value, dt.datetime):
        return instant_text(value)
    if isinstance(value, (int, dt.date)):
        return str(value)
    text = exact_json(value) if isinstance(value, (dict, list)) else str(value)
    text = _INNER_FORMULA.sub(r"\1\2'\3", text)
    return f"'{text}" if _FORMULA.match(text) else text


def _chunks(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[bytes]:
    writer = csv.writer(_Echo())
    held = [writer.writerow(header)]
    for row in rows:
        held.append(writer.writerow([cell(value) for value in row]))
        if len(held) >= _ROWS_A_CHUNK:
            yield "".join(held).encode()
            held.clear()
    yield "".join(held).encode()
