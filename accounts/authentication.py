"""Authentication of the caller: the access token of a person, or the API key of a program."""

from __future__ import annotations

from typing import Any, cast

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.request import Request

from accounts.models import ApiKey, User
from accounts.services.keys import api_keys
from accounts.services.signing_in import sessions


def caller_id(request: Request) -> int:
    """Return the id of the calling person, in views that require one."""
    return cast(User, request.user).pk


class AccessTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token>` of a person who signed in."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        """Return the person; None if there is no bearer token.

        :raises TokenInvalid: if the token is not valid
        """
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
        if scheme.lower() != "bearer":
            return None
        return sessions.user_of_access_token(token.strip()), None

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return 'Bearer realm="api"'


class ApiKeyAuthentication(BaseAuthentication):
    """`X-API-KEY: <key>` only. `request.user` is None for a service key; `request.auth` is the key."""

    def authenticate(self, request: Request) -> tuple[User | None, ApiKey]:
        """Return the key's user and the key.

        :raises ApiKeyMissing, ApiKeyInvalid: if there is none, or it is not valid
        """
        api_key = api_keys.authenticate_api_key(request.META.get("HTTP_X_API_KEY"), now=timezone.now())
        return api_key.user, api_key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return 'ApiKey realm="api"'


class BearerKeyAuthentication(ApiKeyAuthentication):
    """An API key in `X-API-KEY` or in `Authorization: Bearer <key>`, as clients of other products send it."""

    def authenticate(self, request: Request) -> tuple[User | None, ApiKey]:
        """Return the key's user and the key; X-API-KEY takes precedence.

        :raises ApiKeyMissing, ApiKeyInvalid: if there is none, or it is not valid
        """
        raw = request.META.get("HTTP_X_API_KEY")
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
        if not raw and scheme.lower() == "bearer":
            raw = token.strip()
        api_key = api_keys.authenticate_api_key(raw, now=timezone.now())
        return api_key.user, api_key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return 'Bearer realm="api"'


class AccessTokenScheme(OpenApiAuthenticationExtension):
    """Describe the access token in the OpenAPI document."""

    target_class = AccessTokenAuthentication
    name = "accessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """Describe the API key in the OpenAPI document."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "apiKey", "in": "header", "name": "X-API-KEY"}


class BearerKeyScheme(OpenApiAuthenticationExtension):
    """Describe the key as a bearer token in the OpenAPI document; ApiKeyScheme describes the header."""

    target_class = BearerKeyAuthentication
    name = "bearerKey"

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:  # noqa: ARG002
        return [{name: []} for name in (ApiKeyScheme.name, self.name)]

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer"}
