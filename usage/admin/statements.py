"""Downloading a customer's statement of a month."""

from __future__ import annotations

import datetime as dt
from typing import Any

from django import forms
from django.http import HttpResponse
from django.utils import timezone
from django.utils.cache import add_never_cache_headers

from accounts.admin.customer_action import CustomerAction
from accounts.models import User
from config.backoffice.exports import turns
from config.backoffice.record import record_download
from config.values.months import NotAMonth, parse_month
from usage.documents.formats import Document, Format, document_of
from usage.documents.statement_pdf import PAPERS
from usage.errors import NoStatement
from usage.services.statements.statement import statement_of

_FORMATS = [(Format.PDF.value, "PDF"), (Format.CSV.value, "CSV")]
_PAPERS = [("a4", "A4"), ("letter", "Letter")]
_RETRY_AFTER_SECONDS = 5


class MonthField(forms.CharField):
    """A month: the browser's own field where there is one, `YYYY-MM` elsewhere."""

    widget = forms.DateInput(attrs={"type": "month", "placeholder": "YYYY-MM", "size": "10"}, format="%Y-%m")

    def to_python(self, value: Any) -> Any:
        text = super().to_python(value)
        if not text:
            return None
        try:
            return parse_month(text)
        except NotAMonth as refusal:
            raise forms.ValidationError(str(refusal), code="invalid") from None


class StatementForm(forms.Form):
    month = MonthField(
        help_text="Days and months are those of UTC. The running month is one so far, and says so.",
        error_messages={"required": "Choose a month."},
    )
    format = forms.ChoiceField(choices=_FORMATS, initial=Format.PDF.value)
    paper = forms.ChoiceField(choices=_PAPERS, initial=PAPERS[0], help_text="For PDF.")


class DownloadStatement(CustomerAction[User]):
    """Download a statement: it changes nothing but what was due anyway, and the staff log tells who took it."""

    name, path = "statement", "statement"
    permission, needs_view = "ledger.download_statement", True
    title, button = "Statement", "Download"
    form_class = StatementForm

    def explanation(self, form: Any) -> str:  # noqa: ARG002
        return (
            f"What moved the balance of {self.target} in one month: opening balance, entries by day, closing balance, "
            "and the grants that remain."
        )

    def initial(self) -> dict[str, Any]:
        """Return the month before this one, of which a statement is final, if the account is as old."""
        first = timezone.now().astimezone(dt.UTC).date().replace(day=1)
        last_month = first - dt.timedelta(days=1)
        return {"month": first if self.target.created_at.date() >= first else last_month}

    def do(self, form: StatementForm) -> HttpResponse:
        if not turns.acquire(blocking=False):
            form.add_error(None, "Another file is being written just now. Try again in a moment.")
            busy = self.page(form)
            busy.status_code = 429
            busy.headers["Retry-After"] = str(_RETRY_AFTER_SECONDS)
            return busy
        try:
            document = self._document(form.cleaned_data)
        except NoStatement as refusal:
            form.add_error("month", str(refusal))
            return self.page(form)
        finally:
            turns.release()
        record_download(self.request, self.target, f"Downloaded {document.filename}.")
        answer = HttpResponse(document.content, content_type=document.content_type)
        answer.headers["Content-Disposition"] = f'attachment; filename="{document.filename}"'
        add_never_cache_headers(answer)
        return answer

    def _document(self, asked: dict[str, Any]) -> Document:
        statement = statement_of(user_id=self.target.pk, month=asked["month"], now=timezone.now())
        return document_of(statement, format=Format(asked["format"]), paper=asked["paper"])
