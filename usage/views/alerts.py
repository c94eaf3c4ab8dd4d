"""The customer's alerts."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from accounts.authentication import caller_id
from config.http.bodies import validated
from config.http.csv_lists import ListViewSet
from config.http.documented import id_parameter
from config.http.parameters import path_number
from config.http.refusals import REFUSALS, ErrorSerializer, FieldErrorsSerializer
from usage.models import Alert, AlertKind
from usage.serializers.alerts import AlertChangesSerializer, AlertSerializer, NewAlertSerializer
from usage.services.alerts.actions import alerts_of, change_alert, create_alert, remove_alert


class AlertsViewSet(ListViewSet[Alert]):
    """Alerts of the customer, by email and by webhooks."""

    serializer_class = AlertSerializer
    queryset = Alert.objects.none()  # each call narrows to the customer's own

    @extend_schema(
        operation_id="alerts",
        summary="Alerts",
        description="Your alerts, newest first. Every customer has two: `depleted`, when no credits are available, and "
        "`grant_expiring`, a week before what is left of a grant expires.",
        tags=["alerts"],
        responses={200: AlertSerializer(many=True), 400: FieldErrorsSerializer, **REFUSALS},
    )
    def list(self, request: Request) -> Response:
        return self.page_of(alerts_of(user_id=caller_id(request), now=timezone.now()))

    @extend_schema(
        operation_id="create_alert",
        summary="Create an alert",
        description="On fewer available credits than a threshold, or on fewer days of credit left at the burn rate of "
        "the forecast. You are notified once when it is crossed, and once when you are back: available credits reach "
        "the threshold, or the days are a tenth, and at least a day, above it. If it is crossed already, you are "
        "notified.",
        tags=["alerts"],
        request=NewAlertSerializer,
        responses={201: AlertSerializer, 400: FieldErrorsSerializer, 409: ErrorSerializer, **REFUSALS},
    )
    def create(self, request: Request) -> Response:
        asked = validated(NewAlertSerializer, request.data)
        given = dict(asked)
        kind = AlertKind(given.pop("kind"))
        threshold = given.pop("credits" if kind == AlertKind.BALANCE_BELOW else "days")
        user_id, now = caller_id(request), timezone.now()
        alert = create_alert(user_id=user_id, kind=kind, threshold=threshold, now=now, **given)
        return Response(AlertSerializer(alert).data, status=status.HTTP_201_CREATED)

    @extend_schema(
        operation_id="change_alert",
        summary="Change an alert",
        description="Its threshold, whether it is enabled, and whether it is sent by email; fields not named stay. "
        "Another threshold starts over.",
        tags=["alerts"],
        parameters=[id_parameter("The alert's id.")],
        request=AlertChangesSerializer,
        responses={
            200: AlertSerializer,
            400: FieldErrorsSerializer,
            404: ErrorSerializer,
            409: ErrorSerializer,
            **REFUSALS,
        },
    )
    def partial_update(self, request: Request, id: str) -> Response:
        asked = validated(AlertChangesSerializer, request.data)
        user_id = caller_id(request)
        alert = change_alert(user_id=user_id, alert_id=path_number(id), changes=asked)
        return Response(AlertSerializer(alert).data)

    @extend_schema(
        operation_id="remove_alert",
        summary="Remove an alert",
        description="The alerts that every customer has are switched off instead.",
        tags=["alerts"],
        parameters=[id_parameter("The alert's id.")],
        responses={204: None, 404: ErrorSerializer, 409: ErrorSerializer, **REFUSALS},
    )
    def destroy(self, request: Request, id: str) -> Response:
        remove_alert(user_id=caller_id(request), alert_id=path_number(id))
        return Response(status=status.HTTP_204_NO_CONTENT)
