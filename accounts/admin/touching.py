"""Whose account a member of the staff may act on: the one question that every page about a customer asks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.models import ApiKey, User

SERVICE_KEYS = "accounts.issue_service_key"


def may_touch(viewer: Any, customer: User) -> bool:
    """Tell whether this member of the staff may act on this customer's account, besides having the permission.

    Nobody acts on their own account, superusers neither: who gives themselves credits needs a second person. Accounts
    of staff are for superusers: whoever could change a colleague's would have the colleague's rights.
    """
    if viewer.pk == customer.pk:
        return False
    return bool(viewer.is_superuser) or not (customer.is_staff or customer.is_superuser)


def may_touch_key(viewer: Any, key: ApiKey) -> bool:
    """Tell whether this member of the staff may revoke or change this key, besides having the permission.

    A service key carries every customer's requests, so it takes the permission that issues them.
    """
    return bool(viewer.has_perm(SERVICE_KEYS)) if key.user is None else may_touch(viewer, key.user)


def demand_touch(request: HttpRequest, customers: User | Iterable[User]) -> None:
    """Let a request pass that acts on these customers, on all of them.

    :raises PermissionDenied: if one of them may not be acted on
    """
    for customer in (customers,) if isinstance(customers, User) else customers:
        if not may_touch(request.user, customer):
            raise PermissionDenied


def demand_touch_of_keys(request: HttpRequest, keys: Iterable[ApiKey]) -> None:
    """Let a request pass that acts on these keys, on all of them.

    :raises PermissionDenied: if one of them may not be acted on
    """
    if not all(may_touch_key(request.user, key) for key in keys):
        raise PermissionDenied
