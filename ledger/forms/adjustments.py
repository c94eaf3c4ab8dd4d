"""Forms of the back office about credits."""

from __future__ import annotations

import uuid

from django import forms

from config.backoffice.credits import CreditsField
from ledger.models import AdjustmentReason

_NONE_CHOSEN = ("", "Choose one…")
INCOMPLETE = "This form was incomplete; please check it and send it again."
DAMAGED = "This form was damaged; please check it and send it again."
_FOR_STAFF = "Why. Staff read it in the history, and it stays for ever; the customer does not see it."


class OnceForm(forms.Form):
    """A form that does one thing, however often it is sent.

    `form_key` is made when the form is first shown and stays with it through preview and confirmation: it is the
    idempotency key.
    """

    form_key = forms.UUIDField(
        widget=forms.HiddenInput,
        error_messages={"required": INCOMPLETE, "invalid": DAMAGED},
    )

    def clean_note(self) -> str:
        """Bring the lines' ends into one form: browsers send CR LF."""
        return str(self.cleaned_data["note"]).replace("\r\n", "\n").replace("\r", "\n")

    def idempotency_key(self) -> str:
        return f"form-{self.cleaned_data['form_key']}"


class AdjustmentForm(OnceForm):
    """A change of a customer's balance by hand."""

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


class FreezingForm(OnceForm):
    """Freezing a balance, or ending that: which of both was decided when the form was first shown."""

    frozen = forms.TypedChoiceField(
        choices=[("yes", "Freeze"), ("no", "Unfreeze")],
        coerce=lambda chosen: chosen == "yes",
        widget=forms.HiddenInput,
    )
    note = forms.CharField(
        max_length=1000, label="Reason", widget=forms.Textarea(attrs={"rows": 3}), help_text=_FOR_STAFF
    )


class OverdraftForm(OnceForm):
    """Another overdraft limit."""

    limit = CreditsField(
        allow_zero=True,
        label="New limit",
        help_text="In credits: how far below zero the available credits may fall. 0: not at all.",
    )
    note = forms.CharField(
        max_length=1000, label="Reason", widget=forms.Textarea(attrs={"rows": 3}), help_text=_FOR_STAFF
    )


class SwitchOffForm(OnceForm):
    """Switching something off that a customer has turned on."""

    note = forms.CharField(
        max_length=1000, label="Reason", widget=forms.Textarea(attrs={"rows": 3}), help_text=_FOR_STAFF
    )


def new_form_key() -> str:
    return str(uuid.uuid4())
