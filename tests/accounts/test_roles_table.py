"""The table of roles: every permission has a row, and docs/roles.md prints it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib import admin

from accounts.services.roles.table import PERMISSIONS, SUPERUSERS_ALONE, WHAT_FOR, Role, as_markdown, permissions_of

ROLES_PAGE = (Path(settings.BASE_DIR) / "docs" / "roles.md").read_text(encoding="utf-8")
READING = ("view_", "export_", "search_", "hear_", "download_")


def own_permissions() -> Iterator[str]:
    """Return each permission that a model declares itself: exports, actions."""
    for model in apps.get_models():
        yield from (f"{model._meta.app_label}.{codename}" for codename, _ in model._meta.permissions)


def viewing() -> Iterator[str]:
    """Return the permission to view each model that has pages."""
    for model in admin.site._registry:
        yield f"{model._meta.app_label}.view_{model._meta.model_name}"


@pytest.mark.parametrize("permission", sorted({*own_permissions(), *viewing()}))
def test_a_permission_belongs_to_a_role_or_to_superusers_alone(permission):
    assert (permission in PERMISSIONS) is not (permission in SUPERUSERS_ALONE)


def test_every_row_of_the_table_names_a_role():
    assert [name for name, roles in PERMISSIONS.items() if not roles] == []


def test_docs_print_the_table():
    assert as_markdown() in ROLES_PAGE


def test_docs_say_what_each_role_is_for():
    for role, what_for in WHAT_FOR.items():
        assert f"* **{role}** {what_for}." in ROLES_PAGE
    assert set(WHAT_FOR) == set(Role)


def test_auditors_see_and_export_everything_and_change_nothing():
    may = permissions_of(Role.AUDITOR)
    all_reading = {name for name in PERMISSIONS if name.partition(".")[2].startswith(("view_", "export_"))}

    assert [name for name in may if not name.partition(".")[2].startswith(READING)] == []
    assert all_reading <= may


def test_support_neither_sets_prices_nor_issues_service_keys_nor_overdrafts():
    may = permissions_of(Role.SUPPORT)

    assert may.isdisjoint({"usage.add_price", "accounts.issue_service_key", "ledger.set_overdraft"})


def test_no_role_may_delete_or_change_roles():
    given = {name for name in PERMISSIONS if ".delete_" in name or name.startswith(("auth.add", "auth.change"))}

    assert given == set()
