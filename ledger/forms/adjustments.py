"""Forms of staff actions on a balance."""

from __future__ import annotations

from typing import Any

from django import forms
from django.core.files.uploadedfile import UploadedFile

from config.backoffice.credits import CreditsField
from config.backoffice.once_form import NoteField, OnceForm, ReasonForm
from config.values.text import INVALID_TEXT, is_invalid_text
from ledger.models import AdjustmentReason
from ledger.services.adjustments.reading import LONGEST_REFERENCE, MOST_BYTES, MOST_LINES

_NONE_CHOSEN = ("", "Choose one…")


class ReferenceField(forms.CharField):
    """The number or URL of a ticket; it may be empty."""

    def __init__(self, **options: Any) -> None:
        help_text = "A ticket's number or its URL. The customer sees it in the ledger."
        super().__init__(required=False, max_length=LONGEST_REFERENCE, help_text=help_text, **options)


class AdjustmentForm(OnceForm):
    """An adjustment of a customer's balance by staff."""

    amount = CreditsField(
        allow_negative=True,
        help_text="In credits: 50 gives, -12.5 takes away. At most six decimal places.",
    )
    reason = forms.ChoiceField(choices=[_NONE_CHOSEN, *AdjustmentReason.choices])
    note = NoteField(help_text="What happened. The customer reads it in the ledger, and it stays for ever.")
    reference = ReferenceField()


class ReversalForm(OnceForm):
    """A reversal of an entry, in part or wholly."""

    credits = CreditsField(help_text="How much of it, without a sign.")
    note = NoteField(help_text="Why. The customer reads it in the ledger, and it stays for ever.")
    reference = ReferenceField()


class DecisionForm(OnceForm):
    """Why somebody approves, rejects or withdraws a request."""

    note = NoteField(label="Note", help_text="Why. The author is told, and it stays for ever.")


class AdjustmentFileForm(OnceForm):
    """A CSV file of adjustments. What was uploaded is kept in `text` through preview and confirmation."""

    file = forms.FileField(
        required=False,
        label="CSV file",
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
        help_text=f"Columns: customer (email or id), amount, reason ({', '.join(AdjustmentReason.values)}), note, and"
        f" reference if you like. At most {MOST_LINES:,} lines and 1 MiB, in UTF-8.",
    )
    note = NoteField(label="Note", help_text="Why all of this. Whoever approves it reads it; customers do not.")
    text = forms.CharField(required=False, strip=False, widget=forms.HiddenInput)
    file_name = forms.CharField(required=False, max_length=255, widget=forms.HiddenInput)

    def clean(self) -> dict[str, Any]:
        cleaned: dict[str, Any] = super().clean() or self.cleaned_data
        file = cleaned.get("file")
        if file is None:
            if not cleaned.get("text"):
                self.add_error("file", "Choose a file.")
            return cleaned
        text = self._text_of(file)
        cleaned |= {"text": text, "file_name": file.name[:255]}
        self.data = {**self.submitted(), "text": text, "file_name": file.name[:255]}
        return cleaned

    def _text_of(self, file: UploadedFile[Any]) -> str:
        if (file.size or 0) > MOST_BYTES:
            self.add_error("file", "The file is larger than 1 MiB: send it in parts.")
            return ""
        try:
            text: str = file.read().decode("utf-8-sig")
        except UnicodeDecodeError:
            self.add_error("file", "The file is not UTF-8: save it as CSV in UTF-8.")
            return ""
        if is_invalid_text(text):
            self.add_error("file", INVALID_TEXT)
            return ""
        return text


class FreezingForm(ReasonForm):
    """Freezing or unfreezing a balance; which of the two was decided when the form was first shown."""

    frozen = forms.TypedChoiceField(
        choices=[("yes", "Freeze"), ("no", "Unfreeze")],
        coerce=lambda chosen: chosen == "yes",
        widget=forms.HiddenInput,
    )


class OverdraftForm(ReasonForm):
    """A new overdraft limit."""

    limit = CreditsField(
        allow_zero=True,
        label="New limit",
        help_text="In credits: how far below zero the available credits may fall. 0: not at all.",
    )
    field_order = ("form_key", "limit", "note")
