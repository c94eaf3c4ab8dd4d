"""Before money moves or rights change, a sign-in must be recent; confirming goes on with the form that was sent."""

from __future__ import annotations

import pytest
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import LoginAttempt, User
from ledger.models import Entry
from tests.accounts.second_factors import app_of, code_of, recovery_codes_of
from tests.backoffice import note_step, settings_of, signed_in, superuser
from tests.factories import PASSWORD, UserFactory, customer_with

pytestmark = pytest.mark.django_db
CONFIRM, CONFIRM_BY_CODE = "/account/confirm/", "/account/second-factor/confirm/"
AN_AGE = 11 * 60


@pytest.fixture
def staff():
    return superuser()


@pytest.fixture
def client(staff):
    """The browser of somebody who signed in eleven minutes ago."""
    client = Client()
    client.force_login(staff)
    note_step(client, staff, "password", seconds_ago=AN_AGE)
    return client


def page_for(customer):
    return f"/admin/accounts/user/{customer.pk}/overdraft-limit/"


WORDS = {"form_key": "0" * 32, "note": "agreed", "limit": "50", "step": "confirm"}


@pytest.mark.parametrize("method", ["get", "post"])
def test_an_action_that_moves_money_asks_for_a_recent_sign_in(client, method):
    page = page_for(customer_with(10))

    answer = getattr(client, method)(page, WORDS if method == "post" else {})

    assert answer.status_code == 302
    assert answer.url.startswith(f"{CONFIRM}?next=")


def test_confirming_with_the_password_does_what_was_sent_before(client):
    customer = customer_with(10)
    led = client.post(page_for(customer), WORDS)

    done = client.post(led.url, {"password": PASSWORD, "next": page_for(customer)})

    customer.balance.refresh_from_db()
    assert done.status_code == 302
    assert customer.balance.overdraft_limit == 50
    assert client.get(page_for(customer)).status_code == 200


def test_confirming_with_a_code_is_enough(client, staff):
    app, customer = app_of(staff), customer_with(10)

    client.post(f"{CONFIRM_BY_CODE}?next=/admin/", {"code": code_of(app)})

    assert client.get(page_for(customer)).status_code == 200


def test_a_wrong_password_confirms_nothing_and_is_counted(client):
    customer = customer_with(10)

    answers = [client.post(f"{CONFIRM}?next=/admin/", {"password": "wrong"}) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert LoginAttempt.objects.count() == 10
    assert client.get(page_for(customer)).status_code == 302


@pytest.mark.parametrize("next_page", ["https://elsewhere.example/", "//elsewhere.example"])
def test_confirming_leads_to_no_other_site(client, next_page):
    answer = client.post(CONFIRM, {"password": PASSWORD, "next": next_page})

    assert answer.url == "/admin/"


def test_a_customers_page_is_shown_without_confirming(client):
    assert client.get(f"/admin/accounts/user/{UserFactory().pk}/change/").status_code == 200


def test_a_page_that_one_may_not_use_is_refused_before_it_asks(client, staff):
    assert client.get(page_for(staff)).status_code == 403


@pytest.mark.parametrize("page", ["/admin/auth/group/add/", "/admin/accounts/user/add/"], ids=["roles", "people"])
def test_changing_rights_asks_for_a_recent_sign_in(client, page):
    shown, sent = client.get(page), client.post(page, {"name": "mine"})

    assert (shown.status_code, sent.status_code) == (200, 302)
    assert sent.url.startswith(CONFIRM)
    assert not Group.objects.exists()


@pytest.mark.parametrize("page", ["/admin/accounts/user/add/", "/admin/accounts/user/{}/password/"])
def test_a_form_with_a_password_is_not_kept(client, page):
    page = page.format(UserFactory().pk)
    words = {"email": "new@example.com", "password1": "a fine long phrase", "password2": "a fine long phrase"}

    led = client.post(page, words)
    kept = str(dict(client.session))
    back = client.post(led.url, {"password": PASSWORD, "next": page})

    assert led.url.startswith(f"{CONFIRM}?next=")
    assert "a fine long phrase" not in kept
    assert (back.status_code, back.url, client.get(page).status_code) == (302, page, 200)
    assert not User.objects.filter(email="new@example.com").exists()


@pytest.mark.parametrize(
    "page",
    ["recovery-codes/", "recovery-codes/download/", "recovery-codes/new/", "app/remove/", "keys/add/"],
)
def test_seeing_and_changing_second_factors_asks_for_a_recent_sign_in(client, staff, page):
    app_of(staff)
    recovery_codes_of(staff)
    path = f"/account/second-factor/{page}"

    before = client.get(path)
    note_step(client, staff, "password")

    assert before.url.startswith(CONFIRM)
    assert client.get(path).status_code == 200


def test_making_somebody_staff_asks_for_a_recent_sign_in(client):
    person = UserFactory()

    answer = client.post(settings_of(person), {"email": person.email, "is_staff": "on", "is_superuser": "on"})

    person.refresh_from_db()
    assert answer.url.startswith(CONFIRM)
    assert (person.is_staff, person.is_superuser) == (False, False)


def test_the_kept_form_of_one_person_is_not_sent_by_another(client, staff):
    customer = customer_with(10)
    led = client.post(page_for(customer), WORDS)
    other = signed_in(superuser())

    other.post(led.url, {"password": PASSWORD})

    customer.balance.refresh_from_db()
    assert customer.balance.overdraft_limit == 0


def test_a_sent_form_that_was_kept_posts_once(client):
    customer = customer_with(10)
    page = f"/admin/accounts/user/{customer.pk}/adjust-credits/"
    words = {"form_key": "1" * 32, "note": "sorry", "amount": "5", "reason": "goodwill", "step": "confirm"}
    led = client.post(page, words)

    client.post(led.url, {"password": PASSWORD, "next": page})
    client.post(page, words)

    assert Entry.objects.of(customer).filter(type="adjustment").count() == 1


@pytest.mark.parametrize("minutes", [5, 20])
def test_the_age_is_a_setting(client, settings, minutes):
    settings.STAFF_REAUTH_MINUTES = minutes

    answer = client.get(page_for(customer_with(1)))

    assert answer.status_code == (200 if minutes > 11 else 302)
