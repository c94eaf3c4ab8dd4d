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
        description="How long the credits last at the burn rate of the last 7 full days (UTC) and today so far: what "
        "was used in that time, less refunds, by the day. A younger account's own age is taken, but never less than a "
        "day. Credits are burnt in the order of the grants, and what a grant still has when it expires is lost. What "
        "holds reserve is not available; credits that are still to come are not counted.",
        tags=["account"],
        responses={200: ForecastSerializer, **REFUSALS},
    )
    def retrieve(self, request: Request) -> Response:
        outlook = outlook_of(user_id=caller_id(request), now=timezone.now())
        return Response(ForecastSerializer(outlook).data)
