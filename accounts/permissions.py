"""Permissions that depend on the caller's credentials."""

from __future__ import annotations

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.errors import ScopeMissing
from accounts.models import ApiKey
from accounts.services.keys.api_keys import require_scope


class HasScope(BasePermission):
    """Allow only keys with a scope: `permission_classes = [HasScope("account:read")]`."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    def __call__(self) -> HasScope:
        """Return self: DRF calls each item of `permission_classes` to get an instance."""
        return self

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        """Return True if the key has the scope.

        :raises ScopeMissing: if the key lacks the scope, or there is no key
        """
        if not isinstance(request.auth, ApiKey):
            raise ScopeMissing(self.scope)
        require_scope(request.auth, self.scope)
        return True
