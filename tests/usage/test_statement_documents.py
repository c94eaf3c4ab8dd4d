"""Statements as files: what CSV and PDF say, on which paper, in which scripts; the same data is the same file."""

import csv
import datetime as dt
import io
from decimal import Decimal

import pytest
from pypdf import PdfReader

from ledger.services.statements.grants_left import GrantLeft
from usage.documents.font import BOX
from usage.documents.statement_csv import COLUMNS, statement_csv
from usage.documents.statement_pdf import PAPERS, statement_pdf
from usage.services.statements.statement import MOST_GRANTS, Day, Line, Statement

AT = dt.datetime(2026, 3, 5, 9, 30, tzinfo=dt.UTC)
LINES = (
    Line("purchase", "Top-up", Decimal(1000), None, AT, "payment-7", 17),
    Line("usage", "search", Decimal("-12.5"), 1234),
    Line("timing", "Recorded on another day than it was used, and refunds of other days", Decimal("0.000001")),
)


def statement(**fields):
    made = {
        "user_id": 7,
        "email": "alice@example.com",
        "full_name": "Alice",
        "company": "Acme",
        "unit": "CREDITS",
        "month": dt.date(2026, 3, 1),
        "start": dt.datetime(2026, 3, 1, tzinfo=dt.UTC),
        "end": dt.datetime(2026, 4, 1, tzinfo=dt.UTC),
        "produced_at": dt.datetime(2026, 4, 3, tzinfo=dt.UTC),
        "opening": Decimal("10.5"),
        "closing": Decimal("998.000001"),
        "received": Decimal(1000),
        "used": Decimal("-12.499999"),
        "taken": Decimal(0),
        "days": (Day(AT.date(), LINES, Decimal("998.000001")),),
        "grants": (GrantLeft(17, "paid", Decimal(1000), Decimal("998.000001"), None, AT),),
    }
    return Statement(**made | fields)


def text_of(pdf):
    return "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(pdf)).pages)


def rows_of(content):
    return list(csv.DictReader(io.StringIO(content.decode(), newline="")))


def test_a_pdf_says_who_when_and_every_figure():
    text = text_of(statement_pdf(statement()))

    for said in (
        "Acme", "Statement of credits, March 2026", "Alice (alice@example.com)", "Account 7",
        "2026-03-01 to 2026-03-31",
        "Opening balance 10.5", "+1,000", "-12.499999", "Closing balance 998.000001", "09:30 Top-up (payment-7) +1,000",
        "search 1,234 -12.5", "+0.000001", "Grant 17 (paid), 1,000 on 2026-03-05 never 998.000001", "1 / 1",
    ):  # fmt: skip
        assert said in text, said
    assert "The month is not over" not in text


def test_a_statement_of_a_running_month_says_so_in_both_formats():
    running = statement(produced_at=dt.datetime(2026, 3, 20, 12, 0, 5, tzinfo=dt.UTC))

    assert "until 2026-03-20 12:00:05 UTC" in text_of(statement_pdf(running))
    assert "until 2026-03-20 12:00:05 UTC" in statement_csv(running).decode()


def test_the_same_statement_is_the_same_file_whenever_it_is_made():
    later = statement(produced_at=dt.datetime(2027, 1, 1, tzinfo=dt.UTC))

    assert statement_pdf(statement()) == statement_pdf(later)
    assert statement_csv(statement()) == statement_csv(later)


@pytest.mark.parametrize(("paper", "size"), [("a4", (595, 842)), ("letter", (612, 792))])
def test_a_pdf_has_the_size_of_its_paper(paper, size):
    (page,) = PdfReader(io.BytesIO(statement_pdf(statement(), paper=paper))).pages

    assert paper in PAPERS
    assert (round(page.mediabox.width), round(page.mediabox.height)) == size


def test_names_in_many_scripts_are_embedded():
    names = "Zażółć Ő Привет Ελένη 王小明 アリス 김철수 Nguyễn"

    pdf = statement_pdf(statement(full_name=names, company="株式会社"))

    assert names in text_of(pdf)
    assert "株式会社" in text_of(pdf)
    assert b"/FontFile2" in pdf


def test_characters_that_the_font_lacks_are_boxes_and_the_document_says_which():
    text = text_of(statement_pdf(statement(full_name="עליסה 😀")))

    assert BOX in text
    assert "lacks these characters" in text
    assert "U+05E2" in text
    assert "U+1F600" in text


def test_text_of_customers_never_breaks_a_document():
    texts = ("a\nb\r\n\tc\u2028d", "x" * 5000, "\u202eevil", "{nb}", "(\\) <b>", "\x07", "")
    lines = tuple(Line("goodwill", text, Decimal(1), None, AT, text[:200] or None, 1) for text in texts)

    pdf = statement_pdf(
        statement(days=(Day(AT.date(), lines, Decimal("998.000001")),), email="e" * 240 + "@example.com")
    )

    text = text_of(pdf)
    assert "a b c d" in text
    assert text.count("+1") >= len(texts)
    assert len(PdfReader(io.BytesIO(pdf)).pages) == 1


def test_a_long_statement_goes_over_pages_and_numbers_them():
    days = tuple(Day(dt.date(2026, 3, day), LINES * 8, Decimal(1)) for day in range(1, 32))

    pages = PdfReader(io.BytesIO(statement_pdf(statement(days=days)))).pages

    assert len(pages) > 10
    assert f"{len(pages)} / {len(pages)}" in pages[-1].extract_text()


def test_the_largest_amounts_are_not_cut_off():
    largest = Decimal("-999999999.999999")
    day = Day(AT.date(), (Line("usage", "search", largest, 10**12),), -largest)

    text = text_of(statement_pdf(statement(days=(day,), closing=-largest)))

    assert "search 1,000,000,000,000 -999,999,999.999999" in text


def test_many_grants_say_that_there_may_be_more():
    grant = GrantLeft(17, "paid", Decimal(1), Decimal(1), dt.datetime(2027, 1, 1, tzinfo=dt.UTC), AT)

    assert "may be more" in text_of(statement_pdf(statement(grants=(grant,) * MOST_GRANTS)))


def test_a_csv_adds_up_and_names_every_line():
    rows = rows_of(statement_csv(statement()))

    assert list(rows[0]) == list(COLUMNS)
    assert [row["kind"] for row in rows] == ["opening", "purchase", "usage", "timing", "closing", "grant_left"]
    moved = sum(Decimal(row["amount"]) for row in rows if row["kind"] in ("purchase", "usage", "timing"))
    assert Decimal(rows[0]["balance"]) + moved == Decimal(rows[4]["balance"]) == Decimal(rows[3]["balance"])
    assert (rows[1]["time"], rows[1]["reference"], rows[1]["entry_id"]) == ("2026-03-05T09:30:00Z", "payment-7", "17")


def test_no_cell_of_a_csv_is_a_formula():
    line = Line("goodwill", "=1+1", Decimal(-1), None, AT, "@SUM(A1)", 1)

    rows = rows_of(statement_csv(statement(days=(Day(AT.date(), (line,), Decimal(1)),))))

    assert (rows[1]["text"], rows[1]["reference"], rows[1]["amount"]) == ("'=1+1", "'@SUM(A1)", "-1")
