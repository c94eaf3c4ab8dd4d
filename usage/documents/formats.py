"""The formats in which a statement can be had."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from usage.documents.statement_csv import statement_csv
from usage.documents.statement_pdf import Paper, statement_pdf
from usage.documents.words import filename_of
from usage.services.statements.statement import Statement


class Format(StrEnum):
    PDF = "pdf"
    CSV = "csv"


@dataclass(frozen=True)
class Document:
    """A file: its name, type and bytes."""

    filename: str
    content_type: str
    content: bytes


def document_of(statement: Statement, *, format: Format, paper: Paper = "a4") -> Document:
    """Return a statement as a file; `paper` is for PDF alone."""
    filename = filename_of(statement, format.value)
    if format is Format.CSV:
        return Document(filename, "text/csv; charset=utf-8", statement_csv(statement))
    return Document(filename, "application/pdf", statement_pdf(statement, paper=paper))
