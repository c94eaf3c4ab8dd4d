"""Forms of staff actions on payments."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from django import forms

from config.backoffice.once_form import NoteField, OnceForm
from config.values.money import NotInThisCurrency, in_minor_units, shown_money

_MONEY = re.compile(r"[0-9]{1,12}(?:\.[0-9]{1,6})?", re.ASCII)


class RefundForm(OnceForm):
    """How much of a payment is given back, and why; `left_minor` of the currency's smallest unit are left of it."""

    amount = forms.CharField(
        max_length=20,
        label="Amount",
        widget=forms.TextInput(attrs={"inputmode": "decimal", "autocomplete": "off"}),
    )
    note = NoteField(
        label="Reason",
        help_text="Why. Staff read it in the history, and it stays for ever; the customer does not see it.",
    )

    def __init__(self, *args: Any, currency: str, left_minor: int, **options: Any) -> None:
        super().__init__(*args, **options)
        self.currency, self.left_minor = currency, left_minor
        self.fields[
            "amount"
        ].help_text = (
            f"In {currency}; {shown_money(left_minor, currency)} are left. A part takes back that part of the credits."
        )

    def clean_amount(self) -> int:
        """Return the amount in the currency's smallest unit."""
        text: str = self.cleaned_data["amount"].strip()
        if not _MONEY.fullmatch(text):
            raise forms.ValidationError("Write a number such as 12.50, without blanks or separators.")
        try:
            minor = in_minor_units(Decimal(text), self.currency)
        except NotInThisCurrency as refusal:
            raise forms.ValidationError(str(refusal)) from None
        if minor <= 0:
            raise forms.ValidationError("More than nothing has to be refunded.")
        return minor
