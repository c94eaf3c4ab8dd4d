"""A statement as PDF, on A4 or Letter; the same data make the same bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from fpdf import FPDF
from fpdf.enums import XPos, YPos

from usage.documents.font import FAMILY, Printable, font_path
from usage.documents.words import month_of, period_of, shown, shown_signed, so_far
from usage.services.statements.statement import MOST_GRANTS, Day, Statement

Paper = Literal["a4", "letter"]
PAPERS: tuple[Paper, ...] = ("a4", "letter")
_MARGIN, _LINE = 16.0, 5.2  # millimetres
_SMALL, _TEXT, _LARGE = 8.0, 9.0, 16.0  # points
_QUIET, _LOUD, _RULE = 100, 0, 190  # greys
_COUNT, _AMOUNT = 26.0, 40.0  # widths of the columns of figures


def statement_pdf(statement: Statement, *, paper: Paper = "a4") -> bytes:
    """Return the document."""
    page = _Page(statement, paper)
    page.head()
    page.summary()
    page.days()
    page.grants()
    page.what_is_missing()
    return bytes(page.output())


class _Page(FPDF):
    """The pages of one statement."""

    def __init__(self, statement: Statement, paper: Paper) -> None:
        super().__init__(orientation="portrait", unit="mm", format=paper)
        self.statement, self.shown = statement, Printable()
        self.add_font(FAMILY, fname=font_path())
        self.set_margins(_MARGIN, _MARGIN)
        self.set_auto_page_break(auto=True, margin=_MARGIN + _LINE)
        # A time of the data and not of the clock: the same statement is the same file.
        self.set_creation_date(statement.produced_at if statement.is_running else statement.end)
        self.set_title(self.shown(f"Statement {statement.month:%Y-%m}"))
        self.set_author(self.shown(statement.company))
        self.set_lang("en")
        self.add_page()

    def footer(self) -> None:
        self.set_y(-_MARGIN)
        self._font(_SMALL, _QUIET)
        left = self.shown(f"{self.statement.company} · {self.statement.email} · {month_of(self.statement)}")
        self.cell(self.epw - _COUNT, _LINE, self._cut(left, self.epw - _COUNT))
        self.cell(_COUNT, _LINE, f"{self.page_no()} / {{nb}}", align="R")

    def head(self) -> None:
        statement = self.statement
        self._font(_TEXT, _QUIET)
        self._line(statement.company)
        self._font(_LARGE)
        self.cell(0, 10, f"Statement of credits, {month_of(statement)}", new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        self._font(_TEXT)
        self._line(f"{statement.full_name} ({statement.email})" if statement.full_name else statement.email)
        self._line(f"Account {statement.user_id} · {period_of(statement)} · amounts in {statement.unit}")
        if statement.is_running:
            self._line(so_far(statement))
        self.ln(_LINE)

    def summary(self) -> None:
        statement = self.statement
        self._row("Opening balance", "", shown(statement.opening))
        self._row("Received: purchases, grants, corrections", "", shown_signed(statement.received))
        self._row("Used, net of refunds", "", shown_signed(statement.used))
        self._row("Expired, taken back, corrections", "", shown_signed(statement.taken))
        self._rule()
        self._row("Closing balance", "", shown(statement.closing))
        self.ln(_LINE)

    def days(self) -> None:
        self._heading("By day", "Count", "Amount")
        if not self.statement.days:
            self._font(_TEXT, _QUIET)
            self._line("Nothing moved the balance in this time.")
        for day in self.statement.days:
            self._day(day)
        self.ln(_LINE)

    def grants(self) -> None:
        statement = self.statement
        if not statement.grants:
            return
        self._heading("Of the closing balance", "Expires", "Left")
        for grant in statement.grants:
            expires = "never" if grant.expires_at is None else f"{grant.expires_at:%Y-%m-%d}"
            text = f"Grant {grant.grant_id} ({grant.category}), {shown(grant.amount)} on {grant.granted_at:%Y-%m-%d}"
            self._row(text, expires, shown(grant.left))
        if len(statement.grants) == MOST_GRANTS:
            self._font(_SMALL, _QUIET)
            self._line(f"The {MOST_GRANTS} grants that expire soonest; there may be more.")

    def what_is_missing(self) -> None:
        missing = sorted(self.shown.missing)
        if not missing:
            return
        self.ln(_LINE)
        self._font(_SMALL, _QUIET)
        points = ", ".join(f"U+{ord(character):04X}" for character in missing[:40])
        more = f" and {len(missing) - 40} more" if len(missing) > 40 else ""
        self.multi_cell(
            0, _LINE - 1, f"The font of this document lacks these characters, shown as boxes: {points}{more}.",
            new_x=XPos.LMARGIN, new_y=YPos.NEXT,
        )  # fmt: skip

    # --- Parts ---

    def _day(self, day: Day) -> None:
        if self.will_page_break(3 * _LINE):
            self.add_page()
        self.ln(1)
        self._font(_TEXT)
        self.set_fill_color(242)
        self.cell(self.epw - _COUNT - _AMOUNT, _LINE, f"{day.day:%Y-%m-%d}", fill=True)
        self._font(_SMALL, _QUIET)
        self.cell(_COUNT, _LINE, "balance after", align="R", fill=True)
        self._font(_TEXT)
        self.cell(_AMOUNT, _LINE, shown(day.closing), align="R", fill=True, new_x=XPos.LMARGIN, new_y=YPos.NEXT)
        for line in day.lines:
            time = "" if line.at is None else f"{line.at:%H:%M} "
            reference = f" ({line.reference})" if line.reference else ""
            count = "" if line.count is None else f"{line.count:,}"
            self._row(f"{time}{line.text}{reference}", count, shown_signed(line.amount))

    def _heading(self, text: str, *columns: str) -> None:
        self._font(_SMALL, _QUIET)
        widths = (self.epw - _COUNT - _AMOUNT, _COUNT, _AMOUNT)
        self._cells(widths, (text, *columns))
        self._rule()

    def _row(self, text: str, count: str, amount: str) -> None:
        """Print a line; its amount is never cut off, its text is."""
        self._font(_TEXT)
        wide = self.epw - _COUNT - _AMOUNT
        self._cells((wide, _COUNT, _AMOUNT), (self._cut(self.shown(text), wide - 2), count, amount))

    def _cells(self, widths: Sequence[float], texts: Sequence[str]) -> None:
        for width, text, align in zip(widths, texts, ("L", "R", "R"), strict=True):
            self.cell(width, _LINE, text, align=align)
        self.ln(_LINE)

    def _line(self, text: str) -> None:
        self.cell(0, _LINE, self._cut(self.shown(text), self.epw), new_x=XPos.LMARGIN, new_y=YPos.NEXT)

    def _rule(self) -> None:
        self.set_draw_color(_RULE)
        self.line(self.l_margin, self.y, self.w - self.r_margin, self.y)

    def _font(self, size: float, grey: int = _LOUD) -> None:
        self.set_font(FAMILY, size=size)
        self.set_text_color(grey)

    def _cut(self, text: str, width: float) -> str:
        """Shorten a text to a width, with an ellipsis."""
        if self.get_string_width(text) <= width:
            return text
        low, high = 0, len(text)
        while low < high:
            middle = (low + high + 1) // 2
            if self.get_string_width(f"{text[:middle]}…") <= width:
                low = middle
            else:
                high = middle - 1
        return f"{text[:low]}…"
