"""A statement as CSV: the opening balance, a row for each line, the closing balance, the grants that remain."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from typing import Any

from config.http.csv import cell
from usage.documents.words import so_far
from usage.services.statements.statement import Statement

COLUMNS = ("day", "kind", "text", "count", "amount", "balance", "time", "reference", "entry_id", "expires_at")


def statement_csv(statement: Statement) -> bytes:
    """Return the file; no cell is one that a spreadsheet runs as a formula.

    `balance` is the balance after a day's last line, and on the first and last rows. Amounts of the kind `grant_left`
    are no part of the sum: they say of what the closing balance consists.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(COLUMNS)
    for row in _rows(statement):
        writer.writerow([cell(row.get(column)) for column in COLUMNS])
    return text.getvalue().encode()


def _rows(statement: Statement) -> Iterator[dict[str, Any]]:
    yield {"day": statement.start.date(), "kind": "opening", "text": "Opening balance", "balance": statement.opening}
    for day in statement.days:
        for line in day.lines:
            yield {
                "day": day.day,
                "kind": line.kind,
                "text": line.text,
                "count": line.count,
                "amount": line.amount,
                "balance": day.closing if line is day.lines[-1] else None,
                "time": line.at,
                "reference": line.reference,
                "entry_id": line.entry_id,
            }
    last = statement.produced_at.date() if statement.is_running else statement.end.date()
    text = f"Closing balance. {so_far(statement)}".strip()
    yield {"day": last, "kind": "closing", "text": text, "balance": statement.closing}
    for grant in statement.grants:
        yield {
            "day": grant.granted_at.date(),
            "kind": "grant_left",
            "text": grant.category,
            "amount": grant.left,
            "entry_id": grant.grant_id,
            "expires_at": grant.expires_at,
        }
