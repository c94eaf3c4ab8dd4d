"""Passwords are hashed few at a time everywhere, so that a flood of sign-ins does not use all cores."""

from __future__ import annotations

import threading

import pytest
from django.contrib.auth.hashers import Argon2PasswordHasher, check_password, identify_hasher, make_password
from django.test import Client
from rest_framework.test import APIClient

from accounts import hashers
from accounts.errors import HashingBusy
from accounts.hashers import Turns
from accounts.models import LoginAttempt
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _in_turn(settings, monkeypatch):
    settings.PASSWORD_HASHERS = ["accounts.hashers.Argon2", "accounts.hashers.PBKDF2"]
    monkeypatch.setattr(hashers.Argon2, "time_cost", 1)
    monkeypatch.setattr(hashers.Argon2, "memory_cost", 8)
    monkeypatch.setattr(hashers.PBKDF2, "iterations", 10)
    monkeypatch.setattr(hashers, "turns", Turns(1, patience_seconds=0.05))


@pytest.fixture
def busy():
    """Take the only turn in another thread."""
    has_it, is_over = threading.Event(), threading.Event()

    def have_it():
        with hashers.turns.one():
            has_it.set()
            is_over.wait(10)

    other = threading.Thread(target=have_it)
    other.start()
    has_it.wait(10)
    yield
    is_over.set()
    other.join()


def test_a_hash_takes_one_core_and_as_much_work_as_djangos():
    params = identify_hasher(make_password("x")).params()

    assert (hashers.Argon2.parallelism, params.parallelism) == (1, 1)
    assert hashers.Argon2.__mro__[1] is Argon2PasswordHasher


def test_a_hash_of_djangos_own_hasher_still_matches_and_is_renewed():
    renewed = []
    stored = Argon2PasswordHasher().encode("secret", "salt-of-some-length")

    assert check_password("secret", stored, setter=renewed.append)
    assert renewed == ["secret"]


@pytest.mark.parametrize("hasher", ["argon2", "pbkdf2_sha256"])
def test_hashing_and_checking_wait_for_a_turn(hasher, request):
    stored = make_password("secret", hasher=hasher)
    assert check_password("secret", stored)
    request.getfixturevalue("busy")

    with pytest.raises(HashingBusy):
        make_password("secret", hasher=hasher)
    with pytest.raises(HashingBusy):
        check_password("secret", stored)


def test_turns_are_returned_when_hashing_fails():
    turns = Turns(1, patience_seconds=0.05)
    with pytest.raises(ZeroDivisionError), turns.one(), turns.one():
        1 / 0  # noqa: B018

    with turns.one():
        pass


@pytest.mark.usefixtures("busy")
class TestWhileOthersHaveAllTurns:
    @pytest.mark.parametrize("path", ["/auth/login", "/auth/register"])
    def test_a_call_is_told_to_come_back(self, path):
        answer = APIClient().post(path, {"email": "new@example.com", "password": "a-long-enough-one-7"})

        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0

    def test_the_sign_in_page_shows_the_refusal_when_hashing_is_busy(self):
        page = Client().post("/admin/login/", {"username": "a@example.com", "password": "x"})

        assert page.status_code == 429
        assert "Please try again" in page.content.decode()

    def test_no_attempt_is_counted_when_hashing_is_busy(self):
        APIClient().post("/auth/login", {"email": "a@example.com", "password": "x"})

        assert not LoginAttempt.objects.exists()


def test_a_change_of_password_returns_its_place_too(busy, settings):
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    user = UserFactory()
    client = APIClient()
    client.force_authenticate(user)
    settings.PASSWORD_HASHERS = ["accounts.hashers.Argon2", *settings.PASSWORD_HASHERS]

    answer = client.post("/auth/password", {"current_password": PASSWORD, "new_password": "another-long-one-8"})

    assert answer.status_code == 503
