"""Passkeys as a second factor: enrolled, asked for at sign-in and before money moves, renamed, removed."""

from __future__ import annotations

import json
import re

import pytest
from allauth.mfa.models import Authenticator
from django.test import Client

from accounts.models import Notice
from tests.accounts.second_factors import CODE_PAGE, app_of, give_password, is_signed_in
from tests.accounts.soft_key import SoftKey
from tests.backoffice import note_step, signed_in, superuser
from tests.factories import customer_with

pytestmark = pytest.mark.django_db
ADD, LIST, CONFIRM = (f"/account/second-factor/keys/{page}" for page in ("add/", "", "confirm/"))
CODES = "/account/second-factor/recovery-codes/"


@pytest.fixture
def staff():
    return superuser()


def options_on(page: str) -> dict:
    """Return the data that the page has for its script."""
    return json.loads(re.search(r'<script id="js_data" type="application/json">(.*?)</script>', page)[1])


def enrolled(staff) -> SoftKey:
    client, key = signed_in(staff), SoftKey()
    options = options_on(client.get(ADD).content.decode())["creation_options"]
    client.post(ADD, {"name": "Laptop", "credential": key.create(options)})
    return key


def test_a_passkey_is_enrolled_and_gives_recovery_codes(staff):
    client, key = signed_in(staff), SoftKey()
    options = options_on(client.get(ADD).content.decode())["creation_options"]

    answer = client.post(ADD, {"name": "Laptop", "credential": key.create(options)})

    assert (answer.status_code, answer.url) == (302, CODES)
    assert str(Authenticator.objects.get(user=staff, type="webauthn")) == "Laptop"
    assert Notice.objects.get(user=staff).data["what"] == "added"
    assert "Laptop" in client.get(LIST).content.decode()


def test_enrolling_a_passkey_is_a_second_factor_of_the_session(staff, settings):
    settings.STAFF_MFA_REQUIRED = True
    client, key = signed_in(staff), SoftKey()
    options = options_on(client.get(ADD).content.decode())["creation_options"]
    led = client.get("/admin/").status_code

    client.post(ADD, {"name": "", "credential": key.create(options)})

    assert (led, client.get("/admin/").status_code) == (302, 200)


def test_a_passkey_signs_in_after_the_password(staff):
    key, client = enrolled(staff), Client()
    led = give_password(client, staff)
    options = options_on(client.get(CODE_PAGE).content.decode())["request_options"]

    answer = client.post(CODE_PAGE, {"credential": key.get(options)})

    assert led.url == CODE_PAGE
    assert (answer.status_code, answer.url) == (302, "/admin/")
    assert is_signed_in(client)


def test_another_key_signs_nobody_in(staff):
    enrolled(staff)
    client, other = Client(), SoftKey()
    give_password(client, staff)
    options = options_on(client.get(CODE_PAGE).content.decode())["request_options"]

    answer = client.post(CODE_PAGE, {"credential": other.get(options)})

    assert (answer.status_code, is_signed_in(client)) == (200, False)


def test_what_a_key_said_before_signs_nobody_in(staff):
    key, first, second = enrolled(staff), Client(), Client()
    for client in (first, second):
        give_password(client, staff)
    options = [options_on(client.get(CODE_PAGE).content.decode())["request_options"] for client in (first, second)]
    said = key.get(options[0])

    for client in (first, second):
        client.post(CODE_PAGE, {"credential": said})

    assert (is_signed_in(first), is_signed_in(second)) == (True, False)


@pytest.mark.parametrize("sent", ["", "{}", "[]", "null", '"x"', "nonsense", '{"id": 1}', '{"response": {}}'])
@pytest.mark.parametrize("page", [ADD, CONFIRM])
def test_a_damaged_answer_of_a_browser_is_refused_with_a_sentence(staff, page, sent):
    enrolled(staff)
    client = signed_in(staff)
    client.get(page)

    answer = client.post(page, {"credential": sent, "name": "x"})

    assert answer.status_code in (200, 302)
    assert Authenticator.objects.filter(type="webauthn").count() == 1


@pytest.mark.parametrize("part", ["signature", "authenticatorData", "clientDataJSON"])
@pytest.mark.parametrize("damage", ["cut off", "another", "not text"])
def test_a_forged_answer_of_the_right_key_signs_nobody_in(staff, part, damage):
    key, client = enrolled(staff), Client()
    give_password(client, staff)
    options = options_on(client.get(CODE_PAGE).content.decode())["request_options"]
    said = json.loads(key.get(options))
    true = said["response"][part]
    said["response"][part] = {"cut off": true[:8], "another": true[::-1], "not text": 7}[damage]

    answer = client.post(CODE_PAGE, {"credential": json.dumps(said)})

    assert (answer.status_code, is_signed_in(client)) == (200, False)


def test_a_key_of_another_site_is_refused(staff):
    client, key = signed_in(staff), SoftKey("http://elsewhere.example")
    options = options_on(client.get(ADD).content.decode())["creation_options"]

    answer = client.post(ADD, {"name": "x", "credential": key.create(options)})

    assert answer.status_code == 200
    assert not Authenticator.objects.exists()


def test_a_passkey_confirms_before_money_moves(staff):
    key, client, customer = enrolled(staff), Client(), customer_with(5)
    client.force_login(staff)
    note_step(client, staff, "password", seconds_ago=3_600)
    page = f"/admin/accounts/user/{customer.pk}/overdraft-limit/"
    before = client.get(page).status_code
    options = options_on(client.get(f"{CONFIRM}?next={page}").content.decode())["request_options"]

    answer = client.post(CONFIRM, {"credential": key.get(options), "next": page})

    assert (before, answer.url, client.get(page).status_code) == (302, page, 200)


def test_a_passkey_is_renamed_and_removed_by_its_owner_alone(staff):
    enrolled(staff)
    key = Authenticator.objects.get(type="webauthn")
    owner, other = signed_in(staff), signed_in(superuser())
    rename, remove = f"{LIST}{key.pk}/", f"{LIST}{key.pk}/remove/"

    assert [other.post(page, {"name": "mine"}).status_code for page in (rename, remove)] == [404, 404]
    owner.post(rename, {"name": "Old laptop"})
    key.refresh_from_db()
    assert str(key) == "Old laptop"
    owner.post(remove)

    assert not Authenticator.objects.exists()  # its recovery codes went with it


def test_the_last_passkey_of_staff_is_not_removed_but_one_of_two_is(staff, settings):
    settings.STAFF_MFA_REQUIRED = True
    enrolled(staff)
    key = Authenticator.objects.get(type="webauthn")
    client = signed_in(staff)
    remove = f"{LIST}{key.pk}/remove/"

    client.post(remove)
    kept = Authenticator.objects.filter(pk=key.pk).exists()
    app_of(staff)
    client.post(remove)

    assert (kept, Authenticator.objects.filter(pk=key.pk).exists()) == (True, False)
