"""Alerts, as the API shows them."""

from __future__ import annotations

from typing import Any, ClassVar

from rest_framework import serializers

from config.http.fields import CreditsField, FlagField, InstantField, WholeNumberField
from usage.models import Alert, AlertKind
from usage.models.alert import LEAST_DAYS, MOST_DAYS

_CREDITS_HELP = "Of balance_below: notifies when fewer credits than these are available."
_DAYS_HELP = "Of runway_below: notifies when the credits last fewer days. Of grant_expiring: days before the expiry."
_ENABLED_HELP = "false: it is switched off."
_EMAIL_HELP = "false: by webhooks only."
OWN_KINDS = (AlertKind.BALANCE_BELOW.value, AlertKind.RUNWAY_BELOW.value)


class AlertSerializer(serializers.ModelSerializer[Alert]):
    """One alert of the customer."""

    kind = serializers.ChoiceField(choices=AlertKind.choices)
    credits = CreditsField(allow_null=True, help_text=_CREDITS_HELP)
    days = serializers.IntegerField(allow_null=True, help_text=_DAYS_HELP)
    is_enabled = serializers.BooleanField(help_text=_ENABLED_HELP)
    by_email = serializers.BooleanField(help_text=_EMAIL_HELP)
    crossed_at = InstantField(
        allow_null=True, help_text="Since when it is crossed, once you were notified; null: it is not."
    )
    created_at = InstantField()

    class Meta:
        model = Alert
        fields: ClassVar = ["id", "kind", "credits", "days", "is_enabled", "by_email", "crossed_at", "created_at"]


class AlertChangesSerializer(serializers.Serializer[Alert]):
    """Changes of an alert; fields not named stay as they are."""

    credits = CreditsField(required=False, help_text=_CREDITS_HELP)
    days = WholeNumberField(required=False, min_value=LEAST_DAYS, max_value=MOST_DAYS, help_text=_DAYS_HELP)
    is_enabled = FlagField(required=False, help_text=_ENABLED_HELP)
    by_email = FlagField(required=False, help_text=_EMAIL_HELP)


class NewAlertSerializer(AlertChangesSerializer):
    """A new alert, with the threshold that its kind needs."""

    kind = serializers.ChoiceField(
        choices=OWN_KINDS, help_text="balance_below needs `credits`, runway_below needs `days`."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        needed, other = ("credits", "days") if attrs["kind"] == AlertKind.BALANCE_BELOW else ("days", "credits")
        if needed not in attrs:
            raise serializers.ValidationError({needed: [f"An alert of the kind {attrs['kind']} needs {needed}."]})
        if other in attrs:
            raise serializers.ValidationError({other: [f"An alert of the kind {attrs['kind']} has no {other}."]})
        return attrs
