"""The back office's sign-in form, which Django's `authenticate` and our backend serve."""

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth import aauthenticate, authenticate
from django.core.exceptions import ValidationError
from django.test import Client
from django.urls import reverse

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

    assert answer.status_code == 200
    assert b"Too many failed sign-ins. Please try again later." in answer.content
    assert LoginAttempt.objects.count() == 10


def test_guesses_here_and_over_the_api_count_together(client):
    UserFactory(email="alice@example.com")
    for _ in range(10):
        sign_in("alice@example.com", "wrong")

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
