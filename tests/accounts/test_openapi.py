"""The OpenAPI document of `/auth`."""

import pytest

pytestmark = pytest.mark.django_db
SUCCESS = {"register": "201", "login": "200", "refresh": "200", "logout": "204", "password": "204"}


@pytest.fixture
def document(client):
    return client.get("/api/schema?format=json").json()


@pytest.mark.parametrize("name", SUCCESS)
def test_each_call_states_its_body_and_its_answers(document, name):
    operation = document["paths"][f"/auth/{name}"]["post"]

    assert operation["requestBody"]["required"]
    assert {SUCCESS[name], "400", "429"} <= set(operation["responses"])
    assert list(operation["requestBody"]["content"]) == ["application/json"]


def test_only_the_change_of_password_needs_a_token(document):
    needing = [name for name in SUCCESS if document["paths"][f"/auth/{name}"]["post"].get("security")]

    assert needing == ["password"]


def test_passwords_are_in_no_response(document):
    answers = [
        answer for name in SUCCESS for answer in document["paths"][f"/auth/{name}"]["post"]["responses"].values()
    ]

    assert "Password" not in str(answers)
    assert "password" not in document["components"]["schemas"]["Registered"]["properties"]


def test_both_ways_to_authenticate_are_documented(document):
    schemes = document["components"]["securitySchemes"]

    assert (schemes["accessToken"]["scheme"], schemes["apiKey"]["name"]) == ("bearer", "X-API-KEY")
