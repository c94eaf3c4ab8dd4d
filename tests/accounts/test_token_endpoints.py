"""`/auth/refresh` and `/auth/logout`: results of the services over HTTP."""

import datetime as dt

import pytest
import time_machine
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services.signing_in import sessions
from tests.accounts.races import at_once
from tests.factories import PASSWORD, UserFactory, delete_people

pytestmark = pytest.mark.django_db


def post(path, **body):
    return APIClient().post(path, body, format="json")


def sign_in():
    return sessions.sign_in(email="alice@example.com", password=PASSWORD, address=None, now=timezone.now())


@pytest.fixture
def pair():
    UserFactory(email="alice@example.com")
    return sign_in()


@pytest.mark.parametrize("name", ["refresh", "refresh_token"])
def test_a_refresh_token_is_taken_under_either_name(pair, name):
    answer = post("/auth/refresh", **{name: pair.refresh})

    assert answer.status_code == 200
    assert list(answer.json()) == ["access", "refresh", "token_type", "expires_in"]
    assert answer.json()["refresh"] != pair.refresh
    assert answer["Cache-Control"] == "no-store"


def test_two_different_tokens_at_once_are_refused(pair):
    answer = post("/auth/refresh", refresh=pair.refresh, refresh_token="another")

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["refresh_token"]


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize("body", [{}, {"refresh": ""}, {"refresh": None}, {"refresh": []}, {"refresh": "x" * 5000}])
def test_a_body_without_a_token_is_refused_per_field(path, body):
    answer = post(path, **body)

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["refresh"]


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
@pytest.mark.parametrize("token", ["rubbish", "a.b.c", "é.é.é", "e30.e30.", "eyJhbGciOiJub25lIn0.e30."])
def test_a_text_that_is_no_token_is_refused(path, token):
    answer = post(path, refresh=token)

    assert answer.status_code == 401
    assert answer.json()["code"] == "token_invalid"
    assert "WWW-Authenticate" in answer


@pytest.mark.parametrize("path", ["/auth/refresh", "/auth/logout"])
def test_an_access_token_is_no_refresh_token(pair, path):
    assert post(path, refresh=pair.access).status_code == 401
    assert post("/auth/refresh", refresh=pair.refresh).status_code == 200


def test_a_spent_token_is_refused(pair):
    post("/auth/refresh", refresh=pair.refresh)

    answer = post("/auth/refresh", refresh=pair.refresh)

    assert answer.status_code == 401
    assert answer.json()["code"] == "refresh_token_spent"


def test_a_token_used_again_long_after_ends_the_whole_sign_in(pair):
    new = post("/auth/refresh", refresh=pair.refresh).json()["refresh"]

    with time_machine.travel(timezone.now() + dt.timedelta(seconds=11)):
        assert post("/auth/refresh", refresh=pair.refresh).status_code == 401
        assert post("/auth/refresh", refresh=new).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_one_of_eight_concurrent_calls_gets_a_pair():
    UserFactory(email="alice@example.com")
    pair = sign_in()

    answers = at_once(8, lambda: post("/auth/refresh", refresh=pair.refresh))

    assert sorted(answer.status_code for answer in answers) == [200] + [401] * 7


@pytest.mark.parametrize("change", [{"is_active": False}, {"password": "!"}])
def test_tokens_are_refused_when_their_person_changed(pair, change):
    User.objects.update(**change)

    assert post("/auth/refresh", refresh=pair.refresh).status_code == 401


def test_the_token_of_a_deleted_person_is_refused(pair):
    delete_people(User.objects.all())

    assert post("/auth/refresh", refresh=pair.refresh).status_code == 401
    assert post("/auth/logout", refresh=pair.refresh).status_code == 204


def test_signing_out_ends_every_token_of_the_sign_in(pair):
    new = post("/auth/refresh", refresh=pair.refresh).json()

    answer = post("/auth/logout", refresh=new["refresh"])

    assert (answer.status_code, answer.content) == (204, b"")
    assert post("/auth/refresh", refresh=new["refresh"]).status_code == 401
    client = APIClient(headers={"Authorization": f"Bearer {pair.access}"})
    assert client.post("/auth/password", {}, format="json").status_code == 401


def test_signing_out_leaves_other_sign_ins_alone(pair):
    other = sign_in()

    post("/auth/logout", refresh=pair.refresh)

    assert post("/auth/refresh", refresh=other.refresh).status_code == 200


def test_signing_out_twice_is_the_same_as_once(pair):
    post("/auth/logout", refresh=pair.refresh)

    assert post("/auth/logout", refresh=pair.refresh).status_code == 204


def test_a_spent_token_still_signs_out(pair):
    new = post("/auth/refresh", refresh=pair.refresh).json()["refresh"]

    assert post("/auth/logout", refresh=pair.refresh).status_code == 204
    assert post("/auth/refresh", refresh=new).status_code == 401
