"""Forms of staff actions on grants."""

from __future__ import annotations

import datetime as dt

from django import forms

from config.backoffice.once_form import NoteField, OnceForm, ReasonForm

_LONGEST_YEARS = 100


class EndGrantForm(OnceForm):
    """Why a grant ends early."""

    note = NoteField(
        label="Reason",
        help_text="Why. The customer reads it in the ledger, with the credits that expire, and it stays for ever.",
    )


class ExtendGrantForm(ReasonForm):
    """A later end of a grant."""

    last_day = forms.DateField(
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="It stays to the end of this day (UTC).",
    )
    field_order = ("form_key", "last_day", "note")

    def clean_last_day(self) -> dt.datetime:
        """Return the end of that day: 00:00 UTC of the next day."""
        last_day: dt.date = self.cleaned_data["last_day"]
        if not 2000 <= last_day.year <= 2000 + _LONGEST_YEARS:
            raise forms.ValidationError("At most to the year 2100.")
        return dt.datetime.combine(last_day + dt.timedelta(days=1), dt.time(), dt.UTC)
