"""Forms of staff actions on a balance."""

from __future__ import annotations

from django import forms

from config.backoffice.credits import CreditsField
from config.backoffice.once_form import NoteField, OnceForm, ReasonForm
from ledger.models import AdjustmentReason

_NONE_CHOSEN = ("", "Choose one…")


class AdjustmentForm(OnceForm):
    """An adjustment of a customer's balance by staff."""

    amount = CreditsField(
        allow_negative=True,
        help_text="In credits: 50 gives, -12.5 takes away. At most six decimal places.",
    )
    reason = forms.ChoiceField(choices=[_NONE_CHOSEN, *AdjustmentReason.choices])
    note = NoteField(help_text="What happened. The customer reads it in the ledger, and it stays for ever.")


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
