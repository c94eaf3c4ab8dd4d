"""CSV responses, streamed row by row, whose cells no spreadsheet runs as formulas."""

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

# What a spreadsheet reads as a formula: one of these, full-width too, after any blanks or marks that it skips.
_SIGNS = "[=+\\-@\uff1d\uff0b\uff0d\uff20]"
_BLANKS = "[\\s\u200b-\u200f\u202a-\u202e\u2060-\u2069\ufeff]*"
_FORMULA = re.compile(f"[\t\r\n]|{_BLANKS}{_SIGNS}")
# Some programs split a line at other separators than commas, and then a quoted cell ends there too.
_INNER_FORMULA = re.compile(f"([;|\t\r\n])({_BLANKS})({_SIGNS})")
_ROWS_A_CHUNK = 200


class _Echo:
    """A file whose `write` returns the text, for `csv.writer`."""

    def write(self, text: str) -> str:
        return text


def csv_answer(*, filename: str, header: Sequence[str], rows: Iterable[Sequence[Any]]) -> StreamingHttpResponse:
    """Stream a header and rows as a download; `rows` is read only as fast as the client reads."""
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
    """Return the text of one cell: numbers stay numbers; an apostrophe is put before text that would start a formula.

    Also after every separator that a program may use: `x;=1+1` is two cells to spreadsheets in many countries.
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
