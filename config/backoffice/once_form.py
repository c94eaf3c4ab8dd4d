"""Forms of staff actions: each is done once, even if submitted twice."""

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
    """Lines of text with normalized line ends: browsers send CR LF."""

    def __init__(self, **options: Any) -> None:
        super().__init__(max_length=_LONGEST_NOTE, widget=forms.Textarea(attrs={"rows": 3}), **options)

    def clean(self, value: Any) -> str:
        return str(super().clean(value)).replace("\r\n", "\n").replace("\r", "\n")


class OnceForm(forms.Form):
    """A form that is done once, even if submitted twice.

    `form_key` is created when the form is first shown and kept through preview and confirmation: it is the
    idempotency key.
    """

    form_key = forms.UUIDField(
        initial=new_form_key,
        widget=forms.HiddenInput,
        error_messages={"required": INCOMPLETE, "invalid": DAMAGED},
    )

    def full_clean(self) -> None:
        """Validate the form. Without a valid key it could be done twice: it gets a new key and keeps its values."""
        super().full_clean()
        if self.has_error("form_key"):
            self.renew_key()

    def submitted(self) -> dict[str, Any]:
        """Return the submitted value of each field, valid or not."""
        return {name: self[name].value() for name in self.fields}

    def renew_key(self) -> None:
        """Replace the key, so that the same values are a new operation."""
        self.data = {**self.submitted(), "form_key": new_form_key()}

    def idempotency_key(self) -> str:
        return f"form-{self.cleaned_data['form_key']}"


class ReasonForm(OnceForm):
    """A form that only asks for a reason."""

    note = NoteField(
        label="Reason",
        help_text="Why. Staff read it in the history, and it stays for ever; the customer does not see it.",
    )
