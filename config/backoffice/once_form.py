"""Forms of staff actions: each does one thing, however often it is sent."""

from __future__ import annotations

import uuid
from typing import Any

from django import forms

INCOMPLETE = "This form was incomplete; please check it and send it again."
DAMAGED = "This form was damaged; please check it and send it again."
_LONGEST_NOTE = 1000


def new_form_key() -> str:
    return str(uuid.uuid4())


class NoteField(forms.CharField):
    """Some lines of text, whose ends are brought into one form: browsers send CR LF."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=_LONGEST_NOTE, widget=forms.Textarea(attrs={"rows": 3}), **options)

    def clean(self, value: Any) -> str:
        return str(super().clean(value)).replace("\r\n", "\n").replace("\r", "\n")


class OnceForm(forms.Form):
    """A form that does one thing, however often it is sent.

    `form_key` is made when the form is first shown and stays with it through preview and confirmation: it is the
    idempotency key.
    """

    form_key = forms.UUIDField(
        initial=new_form_key,
        widget=forms.HiddenInput,
        error_messages={"required": INCOMPLETE, "invalid": DAMAGED},
    )

    def full_clean(self) -> None:
        """Check the form. One without a valid key could be sent twice: it gets a new one, and what was typed stays."""
        super().full_clean()
        if self.has_error("form_key"):
            self.renew_key()

    def typed(self) -> dict[str, Any]:
        """Return what was typed, field by field, whether it is valid or not."""
        return {name: self[name].value() for name in self.fields}

    def renew_key(self) -> None:
        """Take another key, under which what was typed is another thing to do."""
        self.data = {**self.typed(), "form_key": new_form_key()}

    def idempotency_key(self) -> str:
        return f"form-{self.cleaned_data['form_key']}"


class ReasonForm(OnceForm):
    """A form that asks for a reason, and nothing else."""

    note = NoteField(
        label="Reason",
        help_text="Why. Staff read it in the history, and it stays for ever; the customer does not see it.",
    )
