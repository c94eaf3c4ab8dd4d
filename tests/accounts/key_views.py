"""A URLconf of two views that require an API key."""

from __future__ import annotations

from django.urls import path
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.authentication import ApiKeyAuthentication
from accounts.permissions import HasScope


class ReadView(APIView):
    authentication_classes = (ApiKeyAuthentication,)
    permission_classes = (HasScope("account:read"),)

    def get(self, request: Request) -> Response:
        return Response({"email": request.user.email, "key": request.auth.prefix})


class MeterView(APIView):
    authentication_classes = (ApiKeyAuthentication,)
    permission_classes = (HasScope("metering"),)

    def get(self, request: Request) -> Response:
        return Response({"user": request.user, "key": request.auth.prefix})


urlpatterns = [path("read", ReadView.as_view()), path("meter", MeterView.as_view())]
handler404 = "config.http.middleware.not_found"
