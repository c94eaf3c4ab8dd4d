"""The form of a new price."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, ClassVar

from django import forms

from usage.errors import PriceExists, PriceNotUnderstood
from usage.models import Price
from usage.services.prices import normal_price_endpoint, read_endpoint


class NewPriceForm(forms.ModelForm):  # type: ignore[type-arg]
    """A new version of an endpoint's price; the service stores it."""

    class Meta:
        model = Price
        fields: ClassVar = ["endpoint", "method", "credits", "minimum", "charge_failures", "effective_from"]

    def clean_endpoint(self) -> str:
        endpoint = str(self.cleaned_data["endpoint"])
        try:
            endpoint = normal_price_endpoint(endpoint)
            read_endpoint(endpoint)
        except PriceNotUnderstood as refusal:
            raise forms.ValidationError(str(refusal)) from None
        return endpoint

    def clean_method(self) -> str:
        method = str(self.cleaned_data["method"]).upper()
        if method and not (method.isascii() and method.isalpha()):
            raise forms.ValidationError("A method is a word such as GET or POST.")
        return method

    def clean_minimum(self) -> Decimal:
        """Return 0 for an empty field."""
        return Decimal(self.cleaned_data["minimum"] or 0)

    def clean(self) -> dict[str, Any]:
        """Refuse another price for the same time; the same price again is a form that was sent twice."""
        cleaned = super().clean() or {}
        asked = {name: cleaned.get(name) for name in ("endpoint", "method", "effective_from")}
        there = None if None in asked.values() else Price.objects.filter(**asked).first()
        values = [cleaned.get(name) for name in ("credits", "minimum", "charge_failures")]
        if there is not None and [there.credits, there.minimum, there.charge_failures] == values:
            self.instance = there  # so that it does not conflict with itself
        elif there is not None:
            self.add_error("effective_from", str(PriceExists()))
        return cleaned
