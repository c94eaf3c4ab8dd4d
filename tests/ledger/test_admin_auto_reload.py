"""Auto-reload in the back office: its page with its history, and switching it off with a reason, once."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse
from django.utils import timezone

from ledger.models import AutoReloadEvent, OffReason
from tests.backoffice import list_of, page_of, rows_of, signed_in, staff_log_of, staff_with, superuser
from tests.ledger.reloading import change, low, reload_of, run_all, told

pytestmark = pytest.mark.django_db
VIEW, SWITCH = "ledger.view_autoreload", "ledger.switch_off_auto_reload"


@pytest.fixture
def user():
    user = low(50, now=timezone.now())
    run_all(timezone.now())
    return user


def url(user):
    return reverse("admin:ledger_autoreload_switch_off", args=[user.pk])


def sent(client, user, **fields):
    key = re.search(r'name="form_key" value="([^"]+)"', client.get(url(user)).content.decode())[1]
    return {"form_key": key, "note": "The customer called.", "step": "confirm"} | fields


def test_the_page_shows_terms_consent_and_each_payment(user):
    page = signed_in(staff_with(VIEW)).get(page_of("ledger_autoreload", user.pk)).content.decode()

    assert "When your available credits fall below 100" in page
    assert "10.00 USD for 1,000 (succeeded)" in page
    assert f"Turned on by {user}" in page
    assert url(user) not in page  # not offered without the permission


def test_it_is_found_by_the_customers_email_and_id(user):
    client = signed_in(superuser())
    low(50)

    for term in (user.email, str(user.pk)):
        assert [row.pk for row in rows_of(client.get(list_of("ledger_autoreload"), {"q": term}))] == [user.pk]


def test_staff_switch_it_off_with_a_reason_hidden_from_customers(user):
    clerk = staff_with(VIEW, SWITCH)
    client = signed_in(clerk)
    assert url(user) in client.get(page_of("ledger_autoreload", user.pk)).content.decode()

    answer = client.post(url(user), sent(client, user), follow=True)

    assert "Auto-reload is off, and the customer is told." in answer.content.decode()
    assert (reload_of(user).enabled, reload_of(user).off_reason) == (False, OffReason.STAFF)
    event = AutoReloadEvent.objects.of(user.pk).latest("pk")
    assert (event.actor_id, event.note) == (clerk.pk, "The customer called.")
    assert told(user) == ["succeeded", "disabled"]
    notice = user.notices.get(type="auto_reload.disabled")
    assert "Our staff turned it off." in notice.body
    assert "called" not in notice.body
    assert staff_log_of(reload_of(user)) == ["Switched auto-reload off (on → off): The customer called."]
    assert staff_log_of(user) == ["Switched auto-reload off."]


def test_the_same_form_sent_again_leaves_on_what_the_customer_turned_on_since(user):
    client = signed_in(superuser())
    form = sent(client, user)
    client.post(url(user), form)
    change(user, enabled=True, consent=True, now=timezone.now())

    answer = client.post(url(user), form, follow=True)

    assert "nothing was changed again" in answer.content.decode()
    assert reload_of(user).enabled


def test_switching_off_is_refused_when_it_is_off_already(user):
    client = signed_in(superuser())
    form = sent(client, user)
    change(user, enabled=False, now=timezone.now())

    assert "off already" in client.post(url(user), form, follow=True).content.decode()
    assert reload_of(user).off_reason == OffReason.CUSTOMER


def test_the_preview_shows_the_agreement_and_switches_nothing_off(user):
    client = signed_in(superuser())

    answer = client.post(url(user), sent(client, user, step="preview"))

    assert dict(answer.context["preview"])["Agreed to"].startswith("When your available credits fall below 100")
    assert reload_of(user).enabled
    assert told(user) == ["succeeded"]


@pytest.mark.parametrize("fields", [{"note": ""}, {"note": " "}, {"form_key": ""}, {"form_key": "x"}])
def test_a_form_without_a_reason_or_key_changes_nothing(user, fields):
    client = signed_in(superuser())

    answer = client.post(url(user), sent(client, user, **fields))

    assert answer.status_code == 200
    assert reload_of(user).enabled


@pytest.mark.parametrize("permissions", [(VIEW,), (SWITCH,), ()])
def test_switching_off_needs_its_own_permission(user, permissions):
    client = signed_in(staff_with(*permissions))

    assert client.get(url(user)).status_code == 403
    assert client.post(url(user), {"note": "x"}).status_code == 403
    assert reload_of(user).enabled


def test_a_customer_without_auto_reload_cannot_be_switched_off(user):
    assert signed_in(superuser()).get(reverse("admin:ledger_autoreload_switch_off", args=[10**9])).status_code == 404
