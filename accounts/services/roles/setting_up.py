"""Bring the groups of the roles in line with the table."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from django.contrib.auth.models import Group, Permission
from django.db import transaction

from accounts.errors import UnknownPermissions
from accounts.services.roles.table import PERMISSIONS, Role, permissions_of


@dataclass(frozen=True)
class RoleChange:
    """What was done to the group of one role, by the names of permissions."""

    role: Role
    is_new: bool
    added: tuple[str, ...]
    removed: tuple[str, ...]
    extra: tuple[str, ...]  # given by hand and kept


@transaction.atomic
def set_up_roles(*, is_exact: bool = False) -> list[RoleChange]:
    """Create the groups of the roles and give each what the table says; repeating it changes nothing.

    What a group has beyond the table was given by hand: it is kept, unless `is_exact`.

    :raises UnknownPermissions: if the table names one that the database does not have; nothing is changed
    """
    known = _known_permissions()
    unknown = sorted(set(PERMISSIONS) - set(known))
    if unknown:
        raise UnknownPermissions(unknown)
    return [_set_up(role, known, is_exact=is_exact) for role in Role]


def roles_lacking() -> dict[Role, tuple[str, ...]]:
    """Return what each role lacks of the table; roles that lack nothing are not named."""
    groups = {group.name: group for group in Group.objects.filter(name__in=list(Role))}
    lacking = {role: _sorted(permissions_of(role) - _had_by(groups.get(role.value))) for role in Role}
    return {role: names for role, names in lacking.items() if names}


def _had_by(group: Group | None) -> set[str]:
    kept = group.permissions.select_related("content_type") if group is not None else ()
    return {_name(permission) for permission in kept}


def _set_up(role: Role, known: Mapping[str, Permission], *, is_exact: bool) -> RoleChange:
    _, is_new = Group.objects.get_or_create(name=role.value)
    group = Group.objects.select_for_update().get(name=role.value)  # two runs do not undo each other's halves
    has = _had_by(group)
    meant = permissions_of(role)
    added, extra = _sorted(meant - has), _sorted(has - meant)
    removed = extra if is_exact else ()
    group.permissions.add(*(known[name] for name in added))
    group.permissions.remove(*(known[name] for name in removed))
    return RoleChange(role, is_new, added, removed, () if is_exact else extra)


def _known_permissions() -> dict[str, Permission]:
    return {_name(permission): permission for permission in Permission.objects.select_related("content_type")}


def _name(permission: Permission) -> str:
    return f"{permission.content_type.app_label}.{permission.codename}"


def _sorted(names: Collection[str]) -> tuple[str, ...]:
    return tuple(sorted(names))
