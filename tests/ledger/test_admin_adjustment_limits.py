"""Limits of adjustments on the page of a role: set by superusers, recorded with what they were."""

import pytest
from django.contrib.auth.models import Group

from config.models import StaffRecord
from ledger.models import AdjustmentLimit
from tests.backoffice import page_of, signed_in, staff_with, superuser

pytestmark = pytest.mark.django_db


@pytest.fixture
def group():
    return Group.objects.create(name="Support")


def save(client, group, **limits):
    return client.post(page_of("auth_group", group.pk), {"name": group.name, "permissions": [], **limits})


def test_a_superuser_sets_and_changes_limits_and_the_staff_log_has_both_values(group):
    client = signed_in(superuser())

    save(client, group, adjust_at_once="100", adjust_a_day="500")
    save(client, group, adjust_at_once="250.5", adjust_a_day="500")

    limit = AdjustmentLimit.objects.get()
    assert (limit.group, limit.single, limit.daily) == (group, 250.5, 500)
    record = StaffRecord.objects.latest("pk")
    assert record.details == [{"name": "One adjustment", "before": "100", "after": "250.5"}]


def test_empty_limits_leave_it_to_the_site(group):
    client = signed_in(superuser())
    save(client, group, adjust_at_once="100", adjust_a_day="500")

    save(client, group, adjust_at_once="", adjust_a_day="")

    assert not AdjustmentLimit.objects.exists()


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"adjust_at_once": "100"}, "Set both limits, or none"),
        ({"adjust_at_once": "-1", "adjust_a_day": "5"}, "must be positive"),
        ({"adjust_at_once": "1e3", "adjust_a_day": "5"}, "Write a number"),
    ],
)
def test_an_invalid_limit_is_an_error_of_the_form(group, limits, sentence):
    answer = save(signed_in(superuser()), group, **limits)

    assert sentence in answer.content.decode()
    assert not AdjustmentLimit.objects.exists()


def test_others_read_them_and_change_nothing(group):
    AdjustmentLimit.objects.create(group=group, single=1234, daily=5678)
    client = signed_in(staff_with("auth.view_group", "auth.change_group"))

    page = client.get(page_of("auth_group", group.pk)).content.decode()
    refused = save(client, group, adjust_at_once="999999", adjust_a_day="999999")

    assert "1,234" in page
    assert refused.status_code == 403
    assert AdjustmentLimit.objects.get().single == 1234


def test_a_new_role_may_have_limits_at_once():
    signed_in(superuser()).post("/admin/auth/group/add/", {"name": "New", "adjust_at_once": "0", "adjust_a_day": "0"})

    assert AdjustmentLimit.objects.get(group__name="New").daily == 0
