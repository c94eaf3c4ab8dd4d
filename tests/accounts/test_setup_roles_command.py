"""`setup_roles`."""

import json

import pytest
from django.contrib.auth.models import Group, Permission

from accounts.services.roles import setting_up
from accounts.services.roles.table import PERMISSIONS, Role, as_markdown, permissions_of
from tests.factories import StaffFactory
from tests.ledger.running import run

pytestmark = pytest.mark.django_db


def permissions_in(group: Group) -> set[str]:
    pairs = group.permissions.values_list("content_type__app_label", "codename")
    return {f"{app}.{codename}" for app, codename in pairs}


def group_of(role: Role) -> Group:
    return Group.objects.get(name=role.value)


def test_setup_roles_gives_each_role_what_the_table_says():
    ran = run("setup_roles", "--json")

    assert ran.code == 0
    printed = json.loads(ran.out)
    for role in Role:
        assert permissions_in(group_of(role)) == permissions_of(role)
        assert (printed[role]["created"], set(printed[role]["added"])) == (True, permissions_of(role))


def test_setup_roles_changes_nothing_when_repeated():
    run("setup_roles")

    ran = run("setup_roles")

    assert ran.out.splitlines() == [f"{role}: as it should be" for role in Role]


def test_setup_roles_adds_what_a_role_lacks_and_says_so():
    run("setup_roles")
    group_of(Role.SUPPORT).permissions.remove(Permission.objects.get(codename="view_entry"))

    ran = run("setup_roles")

    assert ran.out.splitlines()[:2] == ["support: changed", "  + ledger.view_entry"]
    assert "ledger.view_entry" in permissions_in(group_of(Role.SUPPORT))


def test_setup_roles_keeps_what_was_given_by_hand_unless_exact():
    run("setup_roles")
    group_of(Role.SUPPORT).permissions.add(Permission.objects.get(codename="set_overdraft"))

    kept = run("setup_roles")
    still_there = permissions_in(group_of(Role.SUPPORT))
    exact = run("setup_roles", "--exact")

    assert "  kept, beyond the table: ledger.set_overdraft" in kept.out.splitlines()
    assert "ledger.set_overdraft" in still_there
    assert "  - ledger.set_overdraft" in exact.out.splitlines()
    assert permissions_in(group_of(Role.SUPPORT)) == permissions_of(Role.SUPPORT)


def test_setup_roles_refuses_a_permission_that_does_not_exist_and_changes_nothing(monkeypatch):
    monkeypatch.setattr(setting_up, "PERMISSIONS", {**PERMISSIONS, "ledger.mint_credits": (Role.FINANCE,)})

    ran = run("setup_roles")

    assert (ran.code, "ledger.mint_credits" in ran.err) == (1, True)
    assert not Group.objects.exists()


def test_setup_roles_prints_the_table_of_the_docs():
    ran = run("setup_roles", "--table")

    assert ran.out.strip() == as_markdown().strip()
    assert not Group.objects.exists()


def test_a_member_of_a_role_has_its_permissions():
    run("setup_roles")
    person = StaffFactory()
    person.groups.add(group_of(Role.AUDITOR))

    assert person.get_all_permissions() == permissions_of(Role.AUDITOR)
