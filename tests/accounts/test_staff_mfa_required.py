"""STAFF_MFA=required: staff see no page of the back office without a second factor."""

from __future__ import annotations

import re

import pytest
from allauth.mfa.models import Authenticator
from allauth.mfa.utils import decrypt
from django.test import Client

from accounts.models import Notice
from tests.accounts.second_factors import (
    ENROL,
    app_of,
    code_from,
    code_of,
    give_code,
    give_password,
    is_signed_in,
    recovery_codes_of,
)
from tests.backoffice import note_step, signed_in
from tests.factories import StaffFactory

pytestmark = pytest.mark.django_db
ADD_APP, REPLACE = "/account/second-factor/app/add/", "/account/second-factor/app/replace/"
CODES = "/account/second-factor/recovery-codes/"


@pytest.fixture(autouse=True)
def required(settings):
    settings.STAFF_MFA_REQUIRED = True


@pytest.fixture
def staff():
    return StaffFactory(is_superuser=True)


def test_staff_without_a_second_factor_are_led_to_enrol_before_any_page(staff):
    client = Client()
    give_password(client, staff)

    for page in ("/admin/", "/admin/ledger/entry/", f"/admin/accounts/user/{staff.pk}/change/", "/admin/search/"):
        answer = client.get(page)
        assert (answer.status_code, answer.url) == (302, ENROL)
    assert "Staff need a second factor" in client.get(ENROL).content.decode()


def test_a_form_sent_without_a_second_factor_does_nothing(staff):
    client = Client()
    give_password(client, staff)

    answer = client.post("/admin/auth/group/add/", {"name": "mine"})

    assert (answer.status_code, answer.url) == (302, ENROL)


def test_enrolling_an_app_opens_the_back_office_and_gives_recovery_codes(staff):
    client = Client()
    give_password(client, staff)
    page = client.get(ADD_APP).content.decode()
    secret = re.search(r'<code class="ac-secret">(\w+)</code>', page)[1]

    answer = client.post(ADD_APP, {"code": code_from(secret)})

    assert (answer.status_code, answer.url) == (302, CODES)
    shown = re.findall(r"<code>(\d{8})</code>", client.get(CODES).content.decode())
    assert shown == recovery_codes_of(staff)
    assert client.get("/admin/").status_code == 200
    assert Notice.objects.get(user=staff).data["what"] == "added"


def test_enrolling_with_a_wrong_code_adds_nothing(staff):
    client = Client()
    give_password(client, staff)
    client.get(ADD_APP)

    answer = client.post(ADD_APP, {"code": "000000"})

    assert answer.status_code == 200
    assert not Authenticator.objects.exists()
    assert client.get("/admin/").url == ENROL


def test_a_session_that_has_not_given_the_second_factor_is_asked_for_it(staff):
    client = signed_in(staff)
    app = app_of(staff)

    led = client.get("/admin/ledger/entry/")
    client.post(led.url, {"code": code_of(app), "next": "/admin/ledger/entry/"})

    assert led.url == "/account/second-factor/confirm/?next=%2Fadmin%2Fledger%2Fentry%2F"
    assert client.get("/admin/ledger/entry/").status_code == 200


def test_staff_who_gave_the_second_factor_see_the_back_office(staff):
    app, client = app_of(staff), Client()
    give_password(client, staff)
    give_code(client, code_of(app))

    assert client.get("/admin/").status_code == 200


def test_anybody_may_sign_out(staff):
    client = Client()
    give_password(client, staff)

    assert client.post("/admin/logout/").status_code == 200
    assert not is_signed_in(client)


def test_the_second_factor_of_another_account_opens_nothing(staff):
    """Signing in as somebody else in the same browser takes nothing along."""
    client = signed_in(staff)
    note_step(client, staff, "mfa")
    other = StaffFactory(is_superuser=True)

    give_password(client, other)

    assert client.get("/admin/").url == ENROL


def test_the_last_second_factor_of_staff_is_not_removed(staff):
    app, client = app_of(staff), Client()
    give_password(client, staff)
    give_code(client, code_of(app))

    answer = client.post("/account/second-factor/app/remove/")

    assert "add another first" in answer.content.decode()
    assert Authenticator.objects.filter(pk=app.pk).exists()


def test_the_only_app_of_staff_is_replaced_by_another_one(staff):
    app, client = app_of(staff), Client()
    give_password(client, staff)
    give_code(client, code_of(app))
    secret = re.search(r'<code class="ac-secret">(\w+)</code>', client.get(REPLACE).content.decode())[1]

    wrong = client.post(REPLACE, {"code": "000000"})
    kept = Authenticator.objects.filter(pk=app.pk).exists()
    right = client.post(REPLACE, {"code": code_from(secret)})

    assert (wrong.status_code, kept) == (200, True)
    assert right.status_code == 302
    assert decrypt(Authenticator.objects.get(user=staff, type="totp").data["secret"]) == secret
    assert Notice.objects.get(user=staff).data["what"] == "replaced"
    assert client.get("/admin/").status_code == 200


def test_staff_who_sign_in_over_the_api_get_no_page_by_their_token(staff, client):
    pair = client.post("/auth/login", {"email": staff.email, "password": "correct-horse-battery"}).json()
    headers = {"HTTP_AUTHORIZATION": f"Bearer {pair['access']}"}

    assert client.get("/auth/account/credits", **headers).status_code == 200
    assert client.get("/admin/", **headers).status_code == 302
    assert client.get("/account/second-factor/", **headers).status_code == 302
