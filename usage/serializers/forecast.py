"""Forecasts, as the Account API shows them."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from config.http.fields import CreditsField, InstantField
from usage.services.forecasts.outlook import Outlook, UpcomingCredits
from usage.services.forecasts.selectors import SOON_DAYS


class ExpiringSoonSerializer(serializers.Serializer[Any]):
    """Credits that are about to expire."""

    within_days = serializers.SerializerMethodField(help_text="How far this looks ahead.")
    credits = CreditsField(source="expiring_soon", help_text="Available credits that expire within these days.")
    unspent = CreditsField(source="expiring_unspent", help_text="What of them will be lost, at this rate.")
    next_expiry_at = InstantField(allow_null=True, help_text="When credits expire next, however far ahead.")

    @extend_schema_field(int)
    def get_within_days(self, forecast: Any) -> int:  # noqa: ARG002
        return SOON_DAYS


class ComingSerializer(serializers.Serializer[UpcomingCredits]):
    """The next credits of the subscription."""

    credits = CreditsField(help_text="What the subscription's next period brings.")
    at = InstantField(help_text="When it does.")


class ForecastSerializer(serializers.Serializer[Outlook]):
    """How long the credits last if usage continues as it was recently."""

    user_id = serializers.IntegerField(source="forecast.user_id")
    available = CreditsField(source="forecast.available", help_text="What can be spent now.")
    burn_rate_per_day = CreditsField(
        source="forecast.burn_rate_per_day", help_text="Credits a day, less refunds, since `burn_rate_since`."
    )
    burn_rate_since = InstantField(
        source="forecast.burn_rate_since",
        help_text="Midnight (UTC) seven days ago; for a younger account its own beginning, at least a day ago.",
    )
    days_left = CreditsField(
        source="forecast.days_left",
        allow_null=True,
        help_text="Days until nothing is left, rounded down to 2 places; 0: nothing is available; null: nothing burns.",
    )
    depletes_at = InstantField(source="forecast.depletes_at", allow_null=True, help_text="When nothing is left.")
    expiring_soon = ExpiringSoonSerializer(source="forecast")
    coming = ComingSerializer(allow_null=True, help_text="Not counted in `days_left`.")
