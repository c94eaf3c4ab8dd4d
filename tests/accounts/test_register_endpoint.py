import json

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from tests.accounts.races import at_once
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
BODY = {"email": "Alice@example.com", "password": "a-long-enough-phrase", "full_name": "Alice Liddell"}


def register(client=None, **changes):
    return (client or APIClient()).post("/auth/register", {**BODY, **changes}, format="json")


def test_anyone_can_create_an_account():
    answer = register()

    user = User.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "user_id": user.pk,
        "email": "Alice@example.com",
        "full_name": "Alice Liddell",
        "created_at": user.created_at.replace(tzinfo=None).isoformat() + "Z",
    }
    assert user.check_password(BODY["password"])
    assert not user.is_staff
    assert not user.is_superuser


def test_the_full_name_may_be_left_out(client):
    answer = client.post("/auth/register", {"email": "bob@example.com", "password": BODY["password"]})

    assert answer.status_code == 201
    assert answer.json()["full_name"] == ""


def test_rights_cannot_be_asked_for():
    register(is_staff=True, is_superuser=True, id=7)

    user = User.objects.get()
    assert (user.is_staff, user.is_superuser) == (False, False)


@pytest.mark.parametrize("email", ["alice@example.com", "ALICE@EXAMPLE.COM", " alice@example.com "])
def test_a_taken_address_is_refused_in_any_case(email):
    UserFactory(email="Alice@example.com")

    answer = register(email=email)

    assert answer.status_code == 400
    assert answer.json()["code"] == "invalid"
    assert answer.json()["errors"] == {"email": ["A user with this email already exists."]}
    assert User.objects.count() == 1


@pytest.mark.parametrize(
    "email", ["", "alice", "a@b", None, True, [], {}, "a" * 250 + "@example.com", "a b@example.com"]
)
def test_a_text_that_is_no_address_is_refused(email):
    answer = register(email=email)

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["email"]


@pytest.mark.parametrize(
    "email",
    [
        *("203.0.113.7@gateway.invalid", "203.0.113.7@GATEWAY.INVALID", "acme@edge.Invalid", "a@b.c.invalid"),
        *("acme@gateway\u3002invalid", "acme@gateway\uff0einvalid", "acme@gateway.\uff49nvalid", " acme@x.invalid "),
        "acme@gateway.invalid.",
    ],
)
def test_an_address_of_imported_customers_is_refused(email):
    answer = register(email=email)

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["email"])
    assert not User.objects.exists()


@pytest.mark.parametrize("email", ["user@example.com", "user@invalid.example.org", "invalid@company.example"])
def test_other_addresses_of_examples_may_be_registered(email):
    assert register(email=email).status_code == 201


@pytest.mark.parametrize("password", ["", "short", "12345678901", "password123", "alice@example", "x" * 129, None])
def test_a_weak_password_is_refused(password):
    answer = register(password=password)

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["password"]
    assert not User.objects.exists()


def test_a_password_like_the_full_name_is_refused():
    answer = register(password="Alice Liddell", full_name="Alice Liddell")

    assert "too similar to the full name" in answer.json()["errors"]["password"][0]


def test_blanks_at_the_ends_of_a_password_belong_to_it():
    register(password="  a-long-enough-phrase ")

    assert User.objects.get().check_password("  a-long-enough-phrase ")


def test_a_full_name_that_is_too_long_is_refused():
    answer = register(full_name="x" * 201)

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["full_name"]


def test_each_missing_field_is_named(client):
    answer = client.post("/auth/register", {})

    assert set(answer.json()["errors"]) == {"email", "password"}


@pytest.mark.parametrize("field", ["email", "password", "full_name"])
@pytest.mark.parametrize("text", ["nul\\u0000l", "half \\ud800 a pair"])
def test_text_that_no_column_can_hold_is_refused(client, field, text):
    body = json.dumps({**BODY, field: "HERE"}).replace("HERE", text)

    answer = client.post("/auth/register", body, content_type="application/json")

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [field]


def test_a_closed_site_refuses(settings):
    settings.REGISTRATION_OPEN = False

    answer = register()

    assert answer.status_code == 403
    assert answer.json()["code"] == "registration_closed"
    assert not User.objects.exists()


def test_an_error_never_repeats_the_password():
    assert BODY["password"] not in register().content.decode()
    assert BODY["password"] not in register().content.decode()


@pytest.mark.django_db(transaction=True)
def test_one_of_two_concurrent_registrations_gets_the_address():
    emails = iter(["alice@example.com", "ALICE@example.com", "alice@example.com", "Alice@Example.com"])

    answers = at_once(4, lambda: register(email=next(emails)))

    assert sorted(answer.status_code for answer in answers) == [201, 400, 400, 400]
    assert User.objects.count() == 1


def test_get_is_not_allowed(client):
    assert client.get("/auth/register").status_code == 405


def test_the_path_with_a_slash_is_not_found(client):
    assert client.post("/auth/register/", BODY).status_code == 404


def test_registrations_of_an_address_are_limited_per_minute(settings):
    settings.REGISTRATIONS_PER_ADDRESS = 2

    def register(n, address="198.51.100.1", **changes):
        body = {"email": f"new{n}@example.com", "password": "a-long-enough-one-7"} | changes
        return APIClient(REMOTE_ADDR=address).post("/auth/register", body)

    refused = [register(n, password="short") for n in range(3)]
    made = [register(n) for n in range(3)]
    elsewhere = register(3, "198.51.100.2")

    assert [answer.status_code for answer in refused] == [400] * 3
    assert [answer.status_code for answer in made] == [201, 201, 429]
    assert made[-1].json()["code"] == "rate_limited"
    assert int(made[-1].headers["Retry-After"]) > 0
    assert made[-1].headers["X-RateLimit-Limit"] == "2"
    assert elsewhere.status_code == 201
