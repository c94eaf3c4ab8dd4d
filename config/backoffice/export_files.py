"""Export files: amounts exact, numbers as numbers, and no text that a spreadsheet would run.

The library's own setting for formulas (IMPORT_EXPORT_ESCAPE_FORMULAE_ON_EXPORT) is not used: it only removes one
leading `=`, and turns every number into text (docs/decisions/0021).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from decimal import Decimal
from typing import IO, Any

from openpyxl import Workbook
from openpyxl.cell import WriteOnlyCell
from openpyxl.cell.cell import ILLEGAL_CHARACTERS_RE

from config.http.csv import cell

_LONGEST_CELL = 32_767  # characters, Excel's own limit
_DIGITS_OF_A_NUMBER = 15  # digits that a spreadsheet keeps; longer whole numbers are written as text
_NUMBER, _TEXT = "n", "s"


def write_csv(file: IO[bytes], headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write UTF-8 with a header; return the number of rows."""
    text = io.TextIOWrapper(file, encoding="utf-8", newline="", write_through=True)
    writer = csv.writer(text)
    writer.writerow(headers)
    count = 0
    for row in rows:
        writer.writerow([cell(value) for value in row])
        count += 1
    text.detach()
    return count


def write_xlsx(file: IO[bytes], headers: Sequence[str], rows: Iterable[Sequence[Any]]) -> int:
    """Write one sheet, row by row; return the number of rows."""
    book = Workbook(write_only=True)
    sheet = book.create_sheet("Tollbook")
    sheet.freeze_panes = "A2"
    sheet.append(list(headers))
    count = 0
    for row in rows:
        sheet.append(list(_xlsx_cells(sheet, row)))
        count += 1
    book.save(file)
    return count


def _xlsx_cells(sheet: Any, row: Sequence[Any]) -> Iterator[Any]:
    for value in row:
        text = cell(value)
        if not text:
            yield None
            continue
        # The type is set last: a text of digits stays text, and a number keeps all its digits.
        written = WriteOnlyCell(sheet, value=_fit(text))
        written.data_type = _NUMBER if _is_number(value, text) else _TEXT
        yield written


def _is_number(value: Any, text: str) -> bool:
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return False
    return sum(character.isdigit() for character in text) <= _DIGITS_OF_A_NUMBER


def _fit(text: str) -> str:
    text = ILLEGAL_CHARACTERS_RE.sub("\N{REPLACEMENT CHARACTER}", text)
    return text if len(text) <= _LONGEST_CELL else f"{text[: _LONGEST_CELL - 1]}…"
