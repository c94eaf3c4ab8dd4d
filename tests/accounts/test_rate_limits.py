"""Keys and accounts whose limit of calls differs from the site's default."""

import time

import pytest
from django.db import IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from rest_framework.test import APIClient

from accounts.models import ApiKey, User
from accounts.services.keys.limits import KeyLimits, change_limits
from config.http.rate_windows import windows
from tests.account import client_of
from tests.accounts.races import at_once
from tests.factories import ApiKeyFactory, ServiceKeyFactory, UserFactory

pytestmark = pytest.mark.django_db
SUMMARY, CREDITS = "/v2/account/summary", "/auth/account/credits"


@pytest.fixture(autouse=True)
def _early_in_a_minute():
    """Start no test in the last seconds of a minute, in which its window would end."""
    if time.time() % 60 > 55:
        time.sleep(60.05 - time.time() % 60)


def key_with(calls: int | None, make: type = ApiKeyFactory) -> APIClient:
    issued = make(limits=KeyLimits(rate_limit_per_minute=calls))
    return APIClient(headers={"X-API-KEY": issued.raw})


def statuses(client: APIClient, path: str, calls: int) -> list[int]:
    return [client.get(path).status_code for _ in range(calls)]


@pytest.mark.parametrize("own", [2, 5], ids=["below the default", "above the default"])
def test_a_key_with_a_limit_of_its_own_is_held_to_that(settings, own):
    settings.RATE_LIMIT_PER_KEY = 3
    client = key_with(own)

    first = client.get(SUMMARY)
    rest = statuses(client, SUMMARY, own)

    assert first.headers["X-RateLimit-Limit"] == str(own)
    assert first.headers["X-RateLimit-Remaining"] == str(own - 1)
    assert first.headers["RateLimit-Policy"] == f'"default";q={own};w=60'
    assert [first.status_code, *rest] == [200] * own + [429]


def test_a_key_without_one_follows_the_site(settings):
    settings.RATE_LIMIT_PER_KEY = 2

    assert statuses(key_with(None), SUMMARY, 3) == [200, 200, 429]


def test_the_limit_of_one_key_is_not_that_of_the_next():
    alice = UserFactory()
    slow, other = (
        APIClient(headers={"X-API-KEY": ApiKeyFactory(user=alice, limits=KeyLimits(calls)).raw}) for calls in (1, None)
    )

    assert statuses(slow, SUMMARY, 2) == [200, 429]
    assert statuses(other, SUMMARY, 2) == [200, 200]


@pytest.mark.parametrize("own", [1, 3], ids=["below the default", "above the default"])
@pytest.mark.parametrize("path", [CREDITS, "/auth/account/usage"], ids=["lean", "by DRF"])
def test_an_account_with_a_limit_of_its_own_is_held_to_that(settings, path, own):
    settings.RATE_LIMIT_PER_USER = 2
    alice = UserFactory(rate_limit_per_minute=own)
    client = client_of(alice)

    assert client.get(path).headers["X-RateLimit-Limit"] == str(own)
    assert statuses(client, path, own) == [200] * (own - 1) + [429]


def test_the_limit_of_an_account_does_not_bind_its_keys():
    alice = UserFactory(rate_limit_per_minute=1)
    client = APIClient(headers={"X-API-KEY": ApiKeyFactory(user=alice).raw})

    assert statuses(client, SUMMARY, 3) == [200] * 3


def test_a_service_key_is_limited_only_when_it_was_given_a_limit(settings):
    settings.RATE_LIMIT_PER_KEY = settings.RATE_LIMIT_PER_ADDRESS = 1
    limited, unlimited = key_with(2, ServiceKeyFactory), key_with(None, ServiceKeyFactory)

    assert statuses(unlimited, SUMMARY, 3) == [403] * 3  # it has no account to read, but the call passes the limit
    assert "X-RateLimit-Limit" not in unlimited.get(SUMMARY).headers
    assert statuses(limited, SUMMARY, 3) == [403, 403, 429]


def test_a_limit_that_is_changed_holds_from_the_next_call_on():
    issued = ApiKeyFactory(limits=KeyLimits(rate_limit_per_minute=1))
    client = APIClient(headers={"X-API-KEY": issued.raw})
    before = statuses(client, SUMMARY, 2)

    change_limits(key_id=issued.api_key.pk, limits=KeyLimits(rate_limit_per_minute=3))

    assert (before, statuses(client, SUMMARY, 3)) == ([200, 429], [200, 200, 429])


@pytest.mark.parametrize("path", [SUMMARY, CREDITS])
def test_a_limit_of_ones_own_costs_no_further_statement(path):
    def calling(own: int | None) -> APIClient:
        alice = UserFactory(rate_limit_per_minute=own)
        client = client_of(alice)
        issued = ApiKeyFactory(user=alice, limits=KeyLimits(own))
        client.defaults["HTTP_X_API_KEY"] = issued.raw
        client.get(path)
        return client

    counts = []
    for own in (None, 5_000):
        client = calling(own)
        with CaptureQueriesContext(connection) as asked:
            assert client.get(path).status_code == 200
        counts.append(len(asked))

    assert counts[0] == counts[1]


@pytest.mark.parametrize("calls", [0, -1, 1_000_000_001])
@pytest.mark.parametrize("model", [ApiKey, User])
def test_a_limit_that_lets_nothing_pass_is_refused_by_the_database(model, calls):
    ApiKeyFactory()

    with pytest.raises(IntegrityError, match=r"rate_limit_of_an?_\w+_lets_some_call_pass"), transaction.atomic():
        model.objects.update(rate_limit_per_minute=calls)


@pytest.mark.django_db(transaction=True)
def test_calls_at_once_never_pass_more_often_than_the_keys_own_limit():
    issued = ApiKeyFactory(limits=KeyLimits(rate_limit_per_minute=20))

    def call() -> list[int]:
        return statuses(APIClient(headers={"X-API-KEY": issued.raw}), SUMMARY, 6)

    answered = [status for each in at_once(8, call) for status in each]
    windows.forget()  # as in a new process, which does not know the calls of this one
    later = call()

    assert (answered.count(200), answered.count(429)) == (20, 28)
    assert later == [429] * 6
