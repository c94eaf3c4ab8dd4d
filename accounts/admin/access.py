"""Whose account a member of staff may act on: the one rule that every page about a customer applies."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.core.exceptions import PermissionDenied
from django.http import HttpRequest

from accounts.models import ApiKey, User

SERVICE_KEYS = "accounts.issue_service_key"


def may_act_on(viewer: Any, customer: User) -> bool:
    """Return whether this member of staff may act on this customer's account, given the permission.

    Staff cannot act on their own account, not even superusers: crediting oneself needs a second person. Accounts
    of staff are for superusers: changing a colleague's account would give access to the colleague's rights.
    """
    if viewer.pk == customer.pk:
        return False
    return bool(viewer.is_superuser) or not (customer.is_staff or customer.is_superuser)


def may_act_on_key(viewer: Any, key: ApiKey) -> bool:
    """Return whether this member of staff may revoke or change this key, given the permission.

    A service key serves every customer's requests, so it requires the permission to issue service keys.
    """
    return bool(viewer.has_perm(SERVICE_KEYS)) if key.user is None else may_act_on(viewer, key.user)


def require_access(request: HttpRequest, customers: User | Iterable[User]) -> None:
    """Require that the viewer may act on all of these customers.

    :raises PermissionDenied: if one of them may not be acted on
    """
    for customer in (customers,) if isinstance(customers, User) else customers:
        if not may_act_on(request.user, customer):
            raise PermissionDenied


def require_access_to_keys(request: HttpRequest, keys: Iterable[ApiKey]) -> None:
    """Require that the viewer may act on all of these keys.

    :raises PermissionDenied: if one of them may not be acted on
    """
    if not all(may_act_on_key(request.user, key) for key in keys):
        raise PermissionDenied
