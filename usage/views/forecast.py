"""The forecast of the customer's credits."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from accounts.authentication import caller_id
from config.http.refusals import REFUSALS
from usage.serializers.forecast import ForecastSerializer
from usage.services.forecasts.outlook import outlook_of


class ForecastViewSet(ViewSet):
    """Forecasts of credits."""

    @extend_schema(
        operation_id="credits_forecast",
        summary="Forecast of credits",
        description="How long the credits last at the burn rate of the last 7 full days (UTC) and today so far: the "
        "usage in that time, less refunds, by the day. For a younger account the time is its own age, but at least a "
        "day. Credits are used up in the order of the grants, and what is left of a grant at its expiry is lost. "
        "Reserved credits are not available; future credits are not counted.",
        tags=["account"],
        responses={200: ForecastSerializer, **REFUSALS},
    )
    def retrieve(self, request: Request) -> Response:
        outlook = outlook_of(user_id=caller_id(request), now=timezone.now())
        return Response(ForecastSerializer(outlook).data)
