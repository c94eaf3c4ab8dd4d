"""Forms of the back office about credits."""

from __future__ import annotations

import uuid

from django import forms

from config.backoffice.credits import CreditsField
from ledger.models import AdjustmentReason

_NONE_CHOSEN = ("", "Choose one…")


class AdjustmentForm(forms.Form):
    """A change of a customer's balance by hand.

    `form_key` is made when the form is first shown and stays with it through preview and confirmation: it is the
    idempotency key, so that one form posts one entry however often it is sent.
    """

    amount = CreditsField(
        allow_negative=True,
        help_text="In credits: 50 gives, -12.5 takes away. At most six decimal places.",
    )
    reason = forms.ChoiceField(choices=[_NONE_CHOSEN, *AdjustmentReason.choices])
    note = forms.CharField(
        max_length=1000,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="What happened. The customer reads it in the ledger, and it stays for ever.",
    )
    form_key = forms.UUIDField(
        widget=forms.HiddenInput,
        error_messages={
            "required": "This form was incomplete; please check it and send it again.",
            "invalid": "This form was damaged; please check it and send it again.",
        },
    )

    def clean_note(self) -> str:
        """Bring the lines' ends into one form: browsers send CR LF."""
        return str(self.cleaned_data["note"]).replace("\r\n", "\n").replace("\r", "\n")

    def idempotency_key(self) -> str:
        return f"form-{self.cleaned_data['form_key']}"


def new_form_key() -> str:
    return str(uuid.uuid4())
