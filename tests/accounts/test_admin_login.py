"""The back office's sign-in form, which uses Django's `authenticate` and our backend."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

from accounts.backends import DEVICE_COOKIE
from accounts.models import LoginAttempt, User
from tests.factories import PASSWORD, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db


def sign_in(email, password=PASSWORD, address="198.51.100.7"):
    return Client(REMOTE_ADDR=address).post(reverse("admin:login"), {"username": email, "password": password})


def test_staff_sign_in_with_their_email_in_any_case():
    StaffFactory(email="staff@example.com")

    answer = sign_in("STAFF@example.com")

    assert answer.status_code == 302
    assert User.objects.get().last_login is not None
    assert not LoginAttempt.objects.exists()


@pytest.mark.parametrize("arranged", [{"is_active": False}, {"is_staff": False}, {"password": None}])
def test_others_are_refused(arranged):
    StaffFactory(email="staff@example.com", **arranged)

    answer = sign_in("staff@example.com")

    assert answer.status_code == 200
    assert b"Please enter the correct email" in answer.content


def test_guesses_count_against_the_account_and_the_refusal_shows_in_the_form():
    StaffFactory(email="staff@example.com")
    for _ in range(10):
        sign_in("staff@example.com", "wrong")

    answer = sign_in("staff@example.com")

    assert answer.status_code == 429
    assert 0 < int(answer["Retry-After"]) <= 15 * 60
    assert b"Too many failed sign-ins. Please try again later." in answer.content
    assert LoginAttempt.objects.count() == 10


def test_ten_wrong_passwords_by_a_stranger_do_not_keep_the_only_superuser_out():
    StaffFactory(email="root@example.com", is_superuser=True)
    for _ in range(12):
        sign_in("root@example.com", "wrong", address="203.0.113.9")

    assert sign_in("root@example.com", address="203.0.113.9").status_code == 429
    assert sign_in("root@example.com", address="198.51.100.7").status_code == 302


def test_a_browser_that_has_signed_in_before_is_not_kept_out_by_guesses_from_its_own_address():
    StaffFactory(email="root@example.com", is_superuser=True)
    browser = Client(REMOTE_ADDR="198.51.100.7")
    form = {"username": "root@example.com", "password": PASSWORD}
    browser.post(reverse("admin:login"), form)
    browser.post(reverse("admin:logout"))
    for _ in range(12):
        sign_in("root@example.com", "wrong")

    assert sign_in("root@example.com").status_code == 429
    assert browser.post(reverse("admin:login"), form).status_code == 302


def test_a_browsers_own_guesses_are_counted(settings):
    StaffFactory(email="root@example.com", is_superuser=True)
    browser = Client(REMOTE_ADDR="198.51.100.7")
    browser.post(reverse("admin:login"), {"username": "root@example.com", "password": PASSWORD})
    browser.post(reverse("admin:logout"))

    codes = [
        browser.post(reverse("admin:login"), {"username": "root@example.com", "password": "wrong"}).status_code
        for _ in range(11)
    ]

    assert codes == [200] * 10 + [429]


def test_the_cookie_of_a_known_browser_is_kept_from_scripts_and_other_sites_and_opens_nothing():
    StaffFactory(email="staff@example.com")

    cookie = sign_in("staff@example.com").cookies[DEVICE_COOKIE]

    assert (cookie["httponly"], cookie["samesite"], cookie["path"]) == (True, "Strict", "/admin/login/")
    stranger = Client()
    stranger.cookies[DEVICE_COOKIE] = cookie.value
    assert stranger.get("/admin/").status_code == 302
    assert DEVICE_COOKIE not in sign_in("staff@example.com", "wrong").cookies


def test_guesses_here_and_over_the_api_count_together(client):
    UserFactory(email="alice@example.com")
    for _ in range(10):
        sign_in("alice@example.com", "wrong", address="127.0.0.1")

    answer = client.post("/auth/login", {"email": "alice@example.com", "password": PASSWORD}, format="json")

    assert answer.status_code == 429


@pytest.mark.parametrize("name", ["email", "username"])
def test_a_shell_may_ask_without_a_request(name):
    user = UserFactory(email="alice@example.com")

    assert authenticate(**{name: "alice@example.com"}, password=PASSWORD) == user
    assert authenticate(**{name: "alice@example.com"}, password="wrong") is None
    assert authenticate(**{name: "alice@example.com"}) is None


def test_asynchronous_callers_are_counted_too():
    UserFactory(email="alice@example.com")

    async def guess():
        for _ in range(10):
            await aauthenticate(username="alice@example.com", password="wrong")
        return await aauthenticate(username="alice@example.com", password=PASSWORD)

    with pytest.raises(ValidationError, match="Too many"):
        async_to_sync(guess)()


def test_permissions_are_djangos():
    staff = StaffFactory()

    assert not staff.has_perm("accounts.view_user")
    assert StaffFactory(is_superuser=True).has_perm("accounts.view_user")
