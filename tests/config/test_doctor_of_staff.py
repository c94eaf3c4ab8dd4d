"""`doctor` about staff: their roles, and whether they sign in by the password alone."""

import pytest
from django.contrib.auth.models import Group, Permission

from accounts.services.roles.setting_up import set_up_roles
from config.doctor import staff
from tests.accounts.second_factors import app_of, recovery_codes_of
from tests.factories import StaffFactory

pytestmark = pytest.mark.django_db


def details(check) -> list[str]:
    return [finding.detail for finding in check()]


def test_roles_that_have_what_the_table_says_are_no_finding():
    set_up_roles()

    assert details(staff.roles) == []


def test_a_role_that_lacks_a_permission_is_found():
    set_up_roles()
    Group.objects.get(name="auditor").permissions.remove(Permission.objects.get(codename="view_entry"))

    assert details(staff.roles) == ["The role auditor lacks ledger.view_entry: run manage.py setup_roles."]


def test_roles_that_were_never_set_up_are_found_in_production(settings):
    settings.IN_PRODUCTION = True

    assert len(details(staff.roles)) == 4


def test_a_role_of_single_sign_on_that_is_not_there_is_found(settings):
    set_up_roles()
    settings.OIDC_ROLES = {"acme-money": "finanse", "acme-help": "support"}

    (detail,) = details(staff.roles)

    assert "the role finanse, which is not there" in detail


@pytest.mark.parametrize(("required", "findings"), [(True, 0), (False, 1)])
def test_staff_who_sign_in_by_the_password_alone_are_found_in_production(settings, required, findings):
    settings.IN_PRODUCTION, settings.STAFF_MFA_REQUIRED = True, required
    app_of(StaffFactory())
    recovery_codes_of(StaffFactory())  # alone they are no second factor

    found = details(staff.second_factors)

    assert len(found) == findings
    assert all(detail.startswith("1 members of staff") for detail in found)
