"""Who is calling: the bearer token of a person, or the key of a program."""

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
    """Give the id of the person who calls, where a view demands one."""
    return cast(User, request.user).pk


class AccessTokenAuthentication(BaseAuthentication):
    """`Authorization: Bearer <access token>` of a person who signed in."""

    def authenticate(self, request: Request) -> tuple[User, None] | None:
        """Find the person; None when there is no bearer token.

        :raises TokenInvalid: if the token is not good
        """
        scheme, _, token = request.META.get("HTTP_AUTHORIZATION", "").strip().partition(" ")
        if scheme.lower() != "bearer":
            return None
        return sessions.user_of_access_token(token.strip()), None

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return 'Bearer realm="api"'


class ApiKeyAuthentication(BaseAuthentication):
    """`X-API-KEY: <key>`, from nowhere else; `request.user` is None for a service key, `request.auth` is the key."""

    def authenticate(self, request: Request) -> tuple[User | None, ApiKey]:
        """Find the key and whose it is.

        :raises ApiKeyMissing, ApiKeyInvalid: if there is none, or it is not good
        """
        api_key = api_keys.authenticate_api_key(request.META.get("HTTP_X_API_KEY"), now=timezone.now())
        return api_key.user, api_key

    def authenticate_header(self, request: Request) -> str:  # noqa: ARG002
        return 'ApiKey realm="api"'


class BearerKeyAuthentication(ApiKeyAuthentication):
    """The same, and the key may also come as `Authorization: Bearer <key>`, as clients of other products send it."""

    def authenticate(self, request: Request) -> tuple[User | None, ApiKey]:
        """Find the key and whose it is; X-API-KEY comes first.

        :raises ApiKeyMissing, ApiKeyInvalid: if there is none, or it is not good
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
    """How the API's document names the bearer token."""

    target_class = AccessTokenAuthentication
    name = "accessToken"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer", "bearerFormat": "JWT"}


class ApiKeyScheme(OpenApiAuthenticationExtension):
    """How the API's document names the key."""

    target_class = ApiKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "apiKey", "in": "header", "name": "X-API-KEY"}


class BearerKeyScheme(OpenApiAuthenticationExtension):
    """The key's other place; the first one is ApiKeyScheme's to define."""

    target_class = BearerKeyAuthentication
    name = "bearerKey"

    def get_security_requirement(self, auto_schema: Any) -> list[dict[str, list[Any]]]:  # noqa: ARG002
        return [{name: []} for name in (ApiKeyScheme.name, self.name)]

    def get_security_definition(self, auto_schema: Any) -> dict[str, str]:  # noqa: ARG002
        return {"type": "http", "scheme": "bearer"}
