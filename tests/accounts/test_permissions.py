"""The permissions of staff: their own and those of their groups, in one statement."""

import pytest
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.models import User
from tests.backoffice import staff_with, superuser

pytestmark = pytest.mark.django_db


@pytest.fixture
def clerk():
    clerk, group = staff_with("ledger.view_entry"), Group.objects.create(name="support")
    group.permissions.add(Permission.objects.get(codename="view_hold"))
    Group.objects.create(name="finance").permissions.add(Permission.objects.get(codename="view_payment"))
    clerk.groups.add(group)
    return User.objects.get(pk=clerk.pk)


def test_a_person_has_their_own_permissions_and_those_of_their_groups_alone(clerk):
    with CaptureQueriesContext(connection) as statements:
        held = clerk.get_all_permissions()
        may = [clerk.has_perm(f"ledger.view_{model}") for model in ("entry", "hold", "payment")]

    assert held == {"ledger.view_entry", "ledger.view_hold"}
    assert may == [True, True, False]
    assert len(statements) == 1


def test_a_deactivated_person_has_none_and_a_superuser_has_all(clerk):
    User.objects.filter(pk=clerk.pk).update(is_active=False)

    assert User.objects.get(pk=clerk.pk).get_all_permissions() == set()
    assert not User.objects.get(pk=clerk.pk).has_perm("ledger.view_entry")
    assert superuser().has_perm("ledger.view_payment")
    assert len(superuser().get_all_permissions()) == Permission.objects.count()
