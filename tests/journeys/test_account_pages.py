"""Who gets which page below /account/: a row for every one. No other door of django-allauth is open."""

from __future__ import annotations

import pytest
from django.test import Client
from django.urls import NoReverseMatch, Resolver404, resolve, reverse

from tests.accounts.second_factors import app_of, recovery_codes_of
from tests.backoffice import signed_in
from tests.factories import StaffFactory, UserFactory
from tests.journeys.routes import account_pages

pytestmark = pytest.mark.django_db
HERE, AWAY, ABSENT = 200, 302, 404
MIDDLE = "/account/second-factor/"

# Page → what an anonymous browser, a customer's session and staff with an authenticator app get.
PAGES: dict[str, tuple[int, int, int]] = {
    "/account/sign-in/": (AWAY, AWAY, AWAY),
    "/account/confirm/": (AWAY, HERE, HERE),
    "/account/sessions/": (AWAY, HERE, HERE),
    MIDDLE: (AWAY, HERE, HERE),
    f"{MIDDLE}sign-in/": (AWAY, AWAY, AWAY),  # between the password and the session only
    f"{MIDDLE}confirm/": (AWAY, AWAY, HERE),
    f"{MIDDLE}app/add/": (AWAY, HERE, AWAY),
    f"{MIDDLE}app/replace/": (AWAY, AWAY, HERE),
    f"{MIDDLE}app/remove/": (AWAY, ABSENT, HERE),
    f"{MIDDLE}keys/": (AWAY, HERE, HERE),
    f"{MIDDLE}keys/add/": (AWAY, HERE, HERE),
    f"{MIDDLE}keys/confirm/": (AWAY, AWAY, AWAY),
    f"{MIDDLE}keys/{{pk}}/": (AWAY, ABSENT, ABSENT),
    f"{MIDDLE}keys/{{pk}}/remove/": (AWAY, ABSENT, ABSENT),
    f"{MIDDLE}recovery-codes/": (AWAY, ABSENT, HERE),
    f"{MIDDLE}recovery-codes/new/": (AWAY, HERE, HERE),
    f"{MIDDLE}recovery-codes/download/": (AWAY, ABSENT, HERE),
    "/account/single-sign-on/{provider_id}/": (ABSENT, ABSENT, ABSENT),  # it is not set up
    "/account/single-sign-on/{provider_id}/callback/": (ABSENT, ABSENT, ABSENT),
    "/account/single-sign-on/": (ABSENT, ABSENT, ABSENT),
    "/account/single-sign-on-cancelled/": (HERE, HERE, HERE),
}
CLOSED = (
    "account_signup", "account_email", "account_reset_password", "account_change_password", "account_logout",
    "account_confirm_email", "socialaccount_signup", "socialaccount_connections", "mfa_login_webauthn", "mfa_trust",
    "mfa_signup_webauthn", "account_request_login_code", "usersessions_list", "account_inactive",
)  # fmt: skip


def browsers() -> tuple[Client, Client, Client]:
    staff = StaffFactory()
    app_of(staff)
    recovery_codes_of(staff)
    return Client(), signed_in(UserFactory()), signed_in(staff)


def test_every_page_has_its_row():
    assert set(account_pages()) == set(PAGES)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_for_whom_its_row_says(page):
    path = page.format(pk=1, provider_id="staff")

    answers = [browser.get(path) for browser in browsers()]

    assert tuple(answer.status_code for answer in answers) == PAGES[page]
    shown = [answer for answer in answers if answer.status_code == HERE]
    assert all("no-store" in answer.headers["Cache-Control"] for answer in shown)


@pytest.mark.parametrize("page", PAGES)
def test_a_form_without_its_token_is_refused(page):
    browser = Client(enforce_csrf_checks=True)
    staff = StaffFactory()
    app_of(staff)
    browser.force_login(staff)

    answer = browser.post(page.format(pk=1, provider_id="staff"), {"code": "1"})

    assert answer.status_code in (403, 405)


@pytest.mark.parametrize("name", CLOSED)
def test_another_door_of_allauth_is_not_there(name):
    with pytest.raises(NoReverseMatch):
        reverse(name)


@pytest.mark.parametrize("path", ["/accounts/signup/", "/account/signup/", "/account/login/", "/account/email/"])
def test_the_usual_addresses_of_allauth_lead_nowhere(path):
    with pytest.raises(Resolver404):
        resolve(path)
