"""What a caller may do, as far as that hangs on who they are."""

from __future__ import annotations

from rest_framework.permissions import BasePermission
from rest_framework.request import Request
from rest_framework.views import APIView

from accounts.errors import ScopeMissing
from accounts.models import ApiKey
from accounts.services.keys.api_keys import demand_scope


class HasScope(BasePermission):
    """A key that is good for this: `permission_classes = [HasScope("account:read")]`."""

    def __init__(self, scope: str) -> None:
        self.scope = scope

    def __call__(self) -> HasScope:
        """Stand in for the class that DRF expects in `permission_classes` and calls for an instance."""
        return self

    def has_permission(self, request: Request, view: APIView) -> bool:  # noqa: ARG002
        """Let the call pass.

        :raises ScopeMissing: if its key is not good for this, or it came without a key
        """
        if not isinstance(request.auth, ApiKey):
            raise ScopeMissing(self.scope)
        demand_scope(request.auth, self.scope)
        return True
