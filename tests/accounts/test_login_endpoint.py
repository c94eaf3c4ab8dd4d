import pytest
from rest_framework.test import APIClient

from accounts.models import User
from tests.factories import PASSWORD, UserFactory

pytestmark = pytest.mark.django_db


def login(email="alice@example.com", password=PASSWORD, address="198.51.100.7"):
    return APIClient(REMOTE_ADDR=address).post("/auth/login", {"email": email, "password": password}, format="json")


def test_the_right_password_brings_a_pair_of_tokens():
    UserFactory(email="Alice@example.com")

    answer = login()

    assert answer.status_code == 200
    assert list(answer.json()) == ["access", "refresh", "token_type", "expires_in"]
    assert (answer.json()["token_type"], answer.json()["expires_in"]) == ("Bearer", 900)
    assert answer["Cache-Control"] == "no-store"
    assert User.objects.get().last_login is not None


@pytest.mark.parametrize(
    ("arranged", "changed"),
    [
        ({}, {"email": "unknown@example.com"}),
        ({}, {"email": "no address at all"}),
        ({}, {"password": "wrong"}),
        ({"is_active": False}, {}),
        ({"password": None}, {}),
    ],
    ids=["unknown", "no address", "wrong", "inactive", "without a password"],
)
def test_every_failure_returns_the_same_error(arranged, changed):
    UserFactory(email="alice@example.com", **arranged)

    answer = login(**changed)

    assert answer.status_code == 401
    assert answer.json() == {"detail": "Invalid email or password.", "code": "invalid_credentials"}
    assert answer["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("email", ["alice@example.com", "unknown@example.com"])
def test_after_ten_failures_even_the_right_password_waits(email):
    UserFactory(email="alice@example.com")
    for _ in range(10):
        assert login(email, "wrong").status_code == 401

    answer = login(email)

    assert answer.status_code == 429
    assert answer.json()["code"] == "rate_limited"
    assert 0 < int(answer["Retry-After"]) <= 15 * 60


def test_ten_wrong_passwords_by_a_stranger_do_not_lock_the_owner_out():
    UserFactory(email="alice@example.com")
    for _ in range(12):
        login(password="wrong", address="203.0.113.9")

    assert login(address="203.0.113.9").status_code == 429
    assert login(address="198.51.100.7").status_code == 200


def test_another_account_is_not_locked_with_it():
    UserFactory(email="alice@example.com")
    UserFactory(email="bob@example.com")
    for _ in range(10):
        login(password="wrong")

    assert login("bob@example.com").status_code == 200


def test_an_address_that_guessed_on_many_accounts_is_refused(settings):
    settings.LOGIN_FAILURES_PER_ADDRESS = 3
    UserFactory(email="alice@example.com")
    for number in range(3):
        login(f"user{number}@example.com")

    assert login().status_code == 429
    assert login(address="203.0.113.9").status_code == 200


def test_a_forwarded_address_is_ignored_from_untrusted_callers(settings):
    settings.LOGIN_FAILURES_PER_ADDRESS = 1
    UserFactory(email="alice@example.com")
    client = APIClient(REMOTE_ADDR="198.51.100.7")

    answers = [
        client.post(
            "/auth/login",
            {"email": f"u{number}@example.com", "password": "x"},
            format="json",
            headers={"X-Forwarded-For": f"203.0.113.{number}"},
        )
        for number in range(2)
    ]

    assert [answer.status_code for answer in answers] == [401, 429]


@pytest.mark.parametrize("body", [{}, {"email": "a@example.com"}, {"password": "x"}, {"email": [], "password": {}}])
def test_an_incomplete_body_is_refused_per_field(client, body):
    answer = client.post("/auth/login", body, format="json")

    assert answer.status_code == 400
    assert set(answer.json()["errors"]) <= {"email", "password"}


def test_other_credentials_in_the_call_are_ignored(client):
    UserFactory(email="alice@example.com")

    answer = client.post(
        "/auth/login",
        {"email": "alice@example.com", "password": PASSWORD},
        format="json",
        headers={"Authorization": "Bearer rubbish"},
    )

    assert answer.status_code == 200
