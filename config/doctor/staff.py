"""Checks of what staff may do, and how they sign in."""

from __future__ import annotations

from collections.abc import Iterator

from django.conf import settings
from django.contrib.auth.models import Group

from accounts.selectors import staff_without_second_factor
from accounts.services.roles.setting_up import roles_lacking
from accounts.services.roles.table import Role
from config.doctor.finding import Finding


def roles() -> Iterator[Finding]:
    """Check that the roles exist and have what the table says, and that single sign-on gives roles that exist."""
    lack = roles_lacking()
    if len(lack) == len(Role) and not settings.IN_PRODUCTION:
        lack = {}  # a database to try something out
    for role, lacking in lack.items():
        yield Finding("roles", f"The role {role} lacks {', '.join(lacking)}: run manage.py setup_roles.")
    named = set(settings.OIDC_ROLES.values())
    for name in sorted(named - set(Group.objects.filter(name__in=named).values_list("name", flat=True))):
        yield Finding("roles", f"OIDC_ROLES names the role {name}, which is not there: make it, or mend the name.")


def second_factors() -> Iterator[Finding]:
    """Check that no member of staff signs in to a production site by the password alone."""
    if not settings.IN_PRODUCTION or settings.STAFF_MFA_REQUIRED:
        return
    without = staff_without_second_factor().count()
    if without:
        yield Finding(
            "second_factors",
            f"{without} members of staff sign in by their password alone: set STAFF_MFA=required, which leads them "
            "to add a second factor.",
        )
