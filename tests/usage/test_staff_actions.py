"""Staff actions, future ones too: each has a permission that can be granted, and a page of its own."""

from __future__ import annotations

import pytest
from django.contrib import admin
from django.contrib.auth.models import Permission

from accounts.admin.keys.issuing import IssueServiceKey
from accounts.models import User
from config.backoffice.confirmed_action import ConfirmedAction
from config.backoffice.staff_action import StaffAction
from ledger.admin.subscriptions.actions import ACTIONS
from tests.backoffice import signed_in, superuser
from tests.factories import customer_with
from tests.usage.test_admin_acting import MADE_FOR, everything


def acting(pages: object) -> tuple[type[StaffAction], ...]:
    return getattr(pages, "staff_actions", ())


OFFERED = [action for pages in admin.site._registry.values() for action in acting(pages)]
EVERY = [*OFFERED, *ACTIONS.values(), IssueServiceKey]
CONFIRMED = [action for action in EVERY if issubclass(action, ConfirmedAction)]


def named(action: type[StaffAction]) -> str:
    return action.__name__


@pytest.mark.django_db
@pytest.mark.parametrize("action", EVERY, ids=named)
def test_a_staff_action_has_a_permission_that_can_be_given(action):
    app, codename = action.permission.split(".")

    assert Permission.objects.filter(content_type__app_label=app, codename=codename).exists()


@pytest.mark.django_db
@pytest.mark.parametrize("action", CONFIRMED, ids=named)
def test_a_confirmed_action_offers_a_preview_and_no_way_around_it(action):
    customer = customer_with(100)
    model = next((model for model, pages in admin.site._registry.items() if action in acting(pages)), User)
    target = model._default_manager.get(pk=MADE_FOR[model._meta.label_lower.replace(".", "_")](customer))

    viewer = superuser()
    if not action.may_act_on(viewer, target):  # of whoever wrote the row
        viewer = everything(target.author)

    page = signed_in(viewer).get(action.url(target)).content.decode()

    assert 'name="step" value="preview"' in page
    assert 'value="confirm"' not in page


def test_no_two_staff_actions_share_a_page():
    routes = [(model, action.path) for model, pages in admin.site._registry.items()
              for action in getattr(pages, "staff_actions", ())]  # fmt: skip

    assert len(routes) > 8
    assert len(set(routes)) == len(routes)
