"""The naive implementation over HTTP: a DRF view with serializers, Django's usual middleware, the ORM."""

from __future__ import annotations

import hashlib
from typing import Any

from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.urls import path

application: Any = get_wsgi_application()

from rest_framework import serializers  # noqa: E402  models need settings first
from rest_framework.authentication import BaseAuthentication  # noqa: E402
from rest_framework.exceptions import AuthenticationFailed  # noqa: E402
from rest_framework.permissions import AllowAny  # noqa: E402
from rest_framework.renderers import JSONRenderer  # noqa: E402
from rest_framework.request import Request  # noqa: E402
from rest_framework.response import Response  # noqa: E402
from rest_framework.views import APIView  # noqa: E402

from accounts.models import ApiKey  # noqa: E402
from tests.bench.naive import charge  # noqa: E402

ORDINARY_MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]


class KeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Any, ApiKey]:
        digest = hashlib.sha256(request.headers.get("X-API-KEY", "").encode()).digest()
        key = ApiKey.objects.select_related("user").filter(key_hash=digest, revoked_at=None).first()
        if key is None:
            raise AuthenticationFailed
        return key.user, key


class ChargeSerializer(serializers.Serializer[Any]):
    api_key = serializers.CharField()
    endpoint = serializers.CharField(max_length=200)


class EntrySerializer(serializers.Serializer[Any]):
    id = serializers.IntegerField()
    user_id = serializers.IntegerField()
    amount = serializers.DecimalField(max_digits=15, decimal_places=6)
    balance_after = serializers.DecimalField(max_digits=15, decimal_places=6)


class ChargeView(APIView):
    authentication_classes = (KeyAuthentication,)
    permission_classes = (AllowAny,)
    throttle_classes = ()
    renderer_classes = (JSONRenderer,)

    def post(self, request: Request) -> Response:
        asked = ChargeSerializer(data=request.data)
        asked.is_valid(raise_exception=True)
        digest = hashlib.sha256(asked.validated_data["api_key"].encode()).digest()
        customer = ApiKey.objects.select_related("user").get(key_hash=digest, revoked_at=None)
        entry = charge(
            user_id=customer.user_id,
            endpoint=asked.validated_data["endpoint"],
            idempotency_key=request.headers["Idempotency-Key"],
        )
        return Response(EntrySerializer(entry).data, status=201)


urlpatterns = [path("charge", ChargeView.as_view())]

settings.ROOT_URLCONF = __name__
settings.MIDDLEWARE = ORDINARY_MIDDLEWARE
application = get_wsgi_application()
