"""Signing in with a second factor: asked after the password, each code once, guesses limited."""

from __future__ import annotations

import logging

import pytest
import time_machine
from allauth.mfa.models import Authenticator
from django.contrib.sessions.models import Session
from django.test import Client
from django.utils import timezone

from accounts.models import LoginAttempt, Notice, User
from accounts.services.signing_in.login_guard import unlock
from accounts.services.signing_in.notices import notify_failed_sign_ins
from config.rounds import Round
from tests.accounts.second_factors import (
    CODE_PAGE,
    SIGN_IN,
    app_of,
    code_of,
    give_code,
    give_password,
    is_signed_in,
    recovery_codes_of,
)
from tests.factories import StaffFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def client():
    return Client()


@pytest.fixture
def staff():
    return StaffFactory(is_superuser=True)


def test_a_password_alone_signs_in_nobody_who_has_a_second_factor(staff, client):
    app_of(staff)

    answer = give_password(client, staff)

    assert (answer.status_code, answer.url) == (302, CODE_PAGE)
    assert not is_signed_in(client)
    assert client.get("/admin/").status_code == 302
    assert client.get(CODE_PAGE).status_code == 200


def test_a_code_after_the_password_signs_in_and_leads_to_the_page_that_was_asked_for(staff, client):
    app = app_of(staff)
    give_password(client, staff, next="/admin/ledger/entry/")

    answer = give_code(client, code_of(app))

    assert (answer.status_code, answer.url) == (302, "/admin/ledger/entry/")
    assert client.get(answer.url).status_code == 200
    assert client.cookies["tollbook_device"]["path"] == SIGN_IN


def test_signing_in_gives_the_browser_another_session(staff, client):
    app = app_of(staff)
    client.get(SIGN_IN)
    give_password(client, staff)
    between = client.session.session_key

    give_code(client, code_of(app))

    assert client.session.session_key != between
    assert not Session.objects.filter(session_key=between).exists()


def test_a_code_comes_too_late_five_minutes_after_the_password(staff, client):
    app = app_of(staff)
    with time_machine.travel("2026-11-28T12:00:00Z", tick=False) as clock:
        give_password(client, staff)
        clock.shift(301)

        answer = give_code(client, code_of(app))

    assert answer.url == "/account/sign-in/"
    assert not is_signed_in(client)


def test_somebody_deactivated_between_password_and_code_is_not_let_in(staff, client):
    app = app_of(staff)
    give_password(client, staff)
    User.objects.filter(pk=staff.pk).update(is_active=False)

    give_code(client, code_of(app))

    assert client.get("/admin/").status_code == 302


def test_a_new_password_ends_the_sign_in_that_waits_for_its_code(staff, client):
    app = app_of(staff)
    give_password(client, staff)
    staff.set_password("another fine phrase")
    staff.save()

    give_code(client, code_of(app))

    assert not is_signed_in(client)


@pytest.mark.parametrize("address", ["https://elsewhere.example/", "//elsewhere.example", "javascript:alert(1)"])
def test_a_sign_in_leads_to_no_other_site(staff, client, address):
    app = app_of(staff)
    give_password(client, staff, next=address)

    assert give_code(client, code_of(app)).url == "/admin/"


def test_a_person_without_a_second_factor_signs_in_with_the_password_when_it_is_optional(staff, client):
    answer = give_password(client, staff)

    assert (answer.status_code, answer.url) == (302, "/admin/")
    assert client.get("/admin/").status_code == 200


def test_a_code_is_asked_for_only_after_the_password(staff, client):
    app = app_of(staff)

    answer = give_code(client, code_of(app))

    assert (answer.status_code, answer.url) == (302, "/account/sign-in/")
    assert not is_signed_in(client)


@pytest.mark.parametrize("steps", [-3, 3, 100])
def test_a_code_of_another_time_is_refused(staff, client, steps):
    app = app_of(staff)
    give_password(client, staff)

    answer = give_code(client, code_of(app, steps=steps))

    assert answer.status_code == 200
    assert "its time is over" in answer.content.decode()
    assert not is_signed_in(client)


def test_a_code_works_once_also_in_another_browser(staff):
    app, first, second = app_of(staff), Client(), Client()
    code = code_of(app)
    give_password(first, staff)
    give_password(second, staff)

    give_code(first, code)
    again = give_code(second, code)

    assert (is_signed_in(first), is_signed_in(second), again.status_code) == (True, False, 200)


def test_an_older_code_is_refused_after_a_newer_one(staff, client):
    app = app_of(staff)
    give_password(client, staff)
    give_code(client, code_of(app, steps=1))
    other = Client()
    give_password(other, staff)

    give_code(other, code_of(app))

    assert not is_signed_in(other)


def test_a_recovery_code_signs_in_once_and_its_owner_is_told(staff):
    app_of(staff)
    code, first, second = recovery_codes_of(staff)[0], Client(), Client()
    give_password(first, staff)
    give_password(second, staff)

    give_code(first, code)
    give_code(second, code)

    assert (is_signed_in(first), is_signed_in(second)) == (True, False)
    told = Notice.objects.get(type="account.recovery_code_used")
    assert (told.user, told.data["left"]) == (staff, 9)


def test_another_persons_code_is_refused(staff, client):
    app_of(staff)
    other = app_of(StaffFactory())
    give_password(client, staff)

    give_code(client, code_of(other))

    assert not is_signed_in(client)


def test_secrets_are_not_readable_in_the_database(staff):
    app, codes = app_of(staff), recovery_codes_of(staff)

    stored = str(list(Authenticator.objects.values_list("data", flat=True)))

    assert app.wrap().instance.data["secret"].startswith("gAAAA")
    assert not any(code in stored for code in codes)


# --- Guesses --------------------------------------------------------------------------------------------------


def guess(client: Client, times: int) -> list[int]:
    return [give_code(client, "000000").status_code for _ in range(times)]


def test_guesses_at_a_code_are_limited_and_logged(staff, client, caplog):
    app = app_of(staff)
    give_password(client, staff)

    with caplog.at_level(logging.WARNING):
        codes = guess(client, 11)
    right = give_code(client, code_of(app))

    assert codes == [200] * 10 + [429]
    assert (right.status_code, is_signed_in(client)) == (429, False)
    assert int(right.headers["Retry-After"]) > 0
    assert caplog.text.count(f"second factor for account {staff.pk}") == 10


def test_signing_in_anew_gives_no_new_guesses(staff):
    app_of(staff)
    codes = []
    for _ in range(12):
        browser = Client()
        give_password(browser, staff)
        codes += guess(browser, 1)

    assert codes == [200] * 10 + [429] * 2


def test_guesses_from_other_addresses_count_together(staff):
    app_of(staff)
    codes = []
    for number in range(12):
        browser = Client(REMOTE_ADDR=f"203.0.113.{number}")
        give_password(browser, staff)
        codes += guess(browser, 1)

    assert codes == [200] * 10 + [429] * 2


def test_guesses_at_a_code_leave_the_password_of_the_account_alone(staff, client):
    app_of(staff)
    give_password(client, staff)
    guess(client, 11)

    assert give_password(Client(), staff).url == CODE_PAGE


def test_a_right_code_clears_the_wrong_ones(staff, client):
    app = app_of(staff)
    give_password(client, staff)
    guess(client, 3)

    give_code(client, code_of(app))

    assert not LoginAttempt.objects.exists()


def test_unlock_gives_new_guesses_but_a_new_password_does_not(staff, client):
    app = app_of(staff)
    give_password(client, staff)
    guess(client, 10)

    kept = unlock(email=staff.email, keep_second_factor=True)
    still = guess(client, 1)
    cleared = unlock(email=staff.email)

    assert (kept, still, cleared) == (0, [429], 10)
    assert give_code(client, code_of(app)).status_code == 302


def test_the_owner_is_told_that_somebody_knows_the_password(staff, client):
    app_of(staff)
    give_password(client, staff)
    guess(client, 10)

    told = notify_failed_sign_ins(Round(), now=timezone.now())

    assert told == 1
    assert "somebody knows your password" in Notice.objects.get(type="account.sign_in_failures").body
