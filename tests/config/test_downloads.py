"""One download at a time for each customer, for as long as the server takes to send it."""

from __future__ import annotations

import pytest
from rest_framework.test import APIClient

from config.http.downloads import CLOSES_ANSWERS
from tests.account import client_of
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db(transaction=True)  # closing a response releases its connection
ROUTE = "/auth/account/ledger?format=csv"


def served(user) -> APIClient:
    """Call as our own server does."""
    client = client_of(user)
    client.defaults[CLOSES_ANSWERS] = True
    return client


def test_a_second_download_is_refused_until_the_first_has_ended():
    client = served(UserFactory())

    first, second = client.get(ROUTE), client.get(ROUTE)
    b"".join(first.streaming_content)
    third = client.get(ROUTE)

    assert (first.status_code, second.status_code, third.status_code) == (200, 429, 200)
    assert (second.json()["code"], int(second.headers["Retry-After"]) > 0) == ("rate_limited", True)


def test_a_download_that_is_closed_half_way_has_ended():
    client = served(UserFactory())
    first = client.get(ROUTE)

    first.close()

    assert client.get(ROUTE).status_code == 200


def test_downloads_of_two_customers_and_lists_of_one_go_side_by_side():
    alice, bob = served(UserFactory()), served(UserFactory())
    held = alice.get(ROUTE)

    assert (bob.get(ROUTE).status_code, alice.get("/auth/account/ledger").status_code) == (200, 200)
    assert held.status_code == 200


def test_a_server_that_may_not_close_answers_refuses_none():
    client = client_of(UserFactory())

    held = client.get(ROUTE), client.get(ROUTE)

    assert [answer.status_code for answer in held] == [200, 200]
