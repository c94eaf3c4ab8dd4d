"""Forms of the back office for subscriptions."""

from __future__ import annotations

import datetime as dt

from django import forms

from accounts.models import BillingInterval, Plan
from config.backoffice.once_form import ReasonForm


class _PlanForm(ReasonForm):
    plan = forms.ModelChoiceField(queryset=Plan.objects.order_by("code"), empty_label="Choose one…")
    interval = forms.TypedChoiceField(choices=BillingInterval.choices, coerce=BillingInterval)


class StartForm(_PlanForm):
    """A new subscription that starts now."""

    last_day = forms.DateField(
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}, format="%Y-%m-%d"),
        help_text="It ends by itself after this day (UTC). Empty: it goes on.",
    )
    field_order = ("form_key", "plan", "interval", "last_day", "note")

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        plans = self.fields["plan"]
        assert isinstance(plans, forms.ModelChoiceField)  # noqa: S101  for the type checker
        plans.queryset = Plan.objects.filter(is_active=True).order_by("code")

    def clean_last_day(self) -> dt.datetime | None:
        """Return the end of that day: 00:00 UTC of the next day."""
        last_day: dt.date | None = self.cleaned_data["last_day"]
        if last_day is None:
            return None
        if last_day.year >= dt.MAXYEAR - 1:
            raise forms.ValidationError("Leave it empty for a subscription that goes on.")
        return dt.datetime.combine(last_day + dt.timedelta(days=1), dt.time(), dt.UTC)


class ChangePlanForm(_PlanForm):
    """Another plan for a running subscription."""

    at_period_end = forms.BooleanField(
        required=False,
        label="Wait for the next period",
        help_text="More credits come at once otherwise, for the rest of the period. Fewer always wait, and so does "
        "another interval.",
    )
    field_order = ("form_key", "plan", "interval", "at_period_end", "note")


class CancelForm(ReasonForm):
    """The end of a subscription."""

    at_once = forms.BooleanField(
        required=False, label="At once", help_text="Otherwise when the period ends. Credits stay to their own end."
    )
    field_order = ("form_key", "at_once", "note")
