"""Where one is signed in: the own sessions alone, ended one by one or all others."""

from __future__ import annotations

import re

import pytest
import time_machine
from allauth.usersessions.models import UserSession
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts.services.signing_in.page_sessions import end_sessions, sessions_of
from tests.accounts.second_factors import give_password, is_signed_in
from tests.factories import StaffFactory

pytestmark = pytest.mark.django_db
PAGE = "/account/sessions/"


@pytest.fixture
def staff():
    return StaffFactory()


def browser_of(person, **more) -> Client:
    client = Client(**more)
    give_password(client, person)
    return client


def named_on(client) -> list[str]:
    """Return the ids of the sessions that the page offers to end."""
    return re.findall(r'name="session" value="(\d+)"', client.get(PAGE).content.decode())


def test_the_page_lists_the_persons_own_sessions_and_marks_this_one(staff):
    here = browser_of(staff, REMOTE_ADDR="203.0.113.9", HTTP_USER_AGENT="Firefox")
    browser_of(staff, REMOTE_ADDR="203.0.113.10", HTTP_USER_AGENT="<b>Chrome</b>")
    browser_of(StaffFactory(), REMOTE_ADDR="203.0.113.77")

    page = here.get(PAGE).content.decode()

    assert page.count("This browser") == 1
    assert "203.0.113.10" in page
    assert "&lt;b&gt;Chrome&lt;/b&gt;" in page
    assert "203.0.113.77" not in page
    assert len(named_on(here)) == 1


def test_one_session_is_ended_and_no_other(staff):
    here, there, third = browser_of(staff), browser_of(staff), browser_of(staff)
    (newest, *_) = named_on(here)

    here.post(PAGE, {"session": newest})

    assert [is_signed_in(client) for client in (here, there, third)] == [True, True, False]


def test_all_other_sessions_are_ended(staff):
    here, there, third = browser_of(staff), browser_of(staff), browser_of(staff)

    here.post(PAGE)

    assert [client.get("/admin/").status_code for client in (here, there, third)] == [200, 302, 302]


def test_the_session_of_another_person_is_not_ended(staff):
    here, other = browser_of(staff), StaffFactory()
    theirs = browser_of(other)
    (session,) = sessions_of(other.pk, now=timezone.now())

    here.post(PAGE, {"session": session.id})

    assert is_signed_in(theirs)


@pytest.mark.parametrize("sent", ["x", "-1", "0", "9" * 30, "1.5", "\0"])
def test_a_crafted_form_ends_nothing(staff, sent):
    here, there = browser_of(staff), browser_of(staff)

    answer = here.post(PAGE, {"session": sent})

    assert answer.status_code == 302
    assert is_signed_in(there)


def test_a_new_password_ends_the_other_sessions(staff):
    here, there = browser_of(staff), browser_of(staff)
    new = {"old_password": "correct-horse-battery", "new_password1": "a fine long phrase"}

    here.post("/admin/password_change/", {**new, "new_password2": "a fine long phrase"})

    assert [client.get("/admin/").status_code for client in (here, there)] == [200, 302]


@pytest.mark.parametrize(("minutes", "lasts"), [(29, True), (31, False)])
def test_a_session_ends_when_it_is_idle(staff, minutes, lasts):
    with time_machine.travel("2026-11-28T12:00:00Z", tick=False) as clock:
        client = browser_of(staff)
        clock.shift(minutes * 60)

        assert (client.get("/admin/").status_code == 200) is lasts


def test_every_session_of_a_person_is_ended_at_once(staff):
    browsers = [browser_of(staff) for _ in range(3)]

    assert end_sessions(user_id=staff.pk) == 3
    assert end_sessions(user_id=staff.pk) == 0
    assert not any(client.get("/admin/").status_code == 200 for client in browsers)


def test_the_page_takes_the_same_statements_for_many_sessions(staff, django_assert_max_num_queries):
    here = browser_of(staff)
    for _ in range(8):
        browser_of(staff)

    with django_assert_max_num_queries(5):
        here.get(PAGE)


def test_sessions_that_are_over_are_deleted_by_later_sign_ins(staff):
    with time_machine.travel("2026-11-28T12:00:00Z", tick=False) as clock:
        browser_of(staff)
        clock.shift(13 * 3_600)
        browser_of(StaffFactory())

        assert not UserSession.objects.filter(user=staff).exists()
        assert Session.objects.count() == UserSession.objects.count() == 1
