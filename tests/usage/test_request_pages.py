"""Pages of the request log, compared with a list that is filtered and sliced in Python."""

from __future__ import annotations

import datetime as dt
import random
from collections.abc import Iterator
from dataclasses import dataclass

import pytest

from accounts.models import ApiKey, User
from config.values.cursors import BrokenCursor
from tests.factories import ApiKeyFactory, UserFactory, customer_with
from tests.module_data import module_data
from tests.usage.metering import price, report, request_at
from usage import request_pages
from usage.models import RequestLog
from usage.request_pages import RequestPages
from usage.services.imports.recording import Line, record_lines
from usage.services.imports.reported import ReportedRequest

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 3, 10, 15, tzinfo=dt.UTC)
DAY, MICROSECOND = dt.timedelta(days=1), dt.timedelta(microseconds=1)
ENDPOINTS = ("search", "translate", "rare")


@dataclass(frozen=True)
class Requests:
    """Alice's 150 requests of seven weeks, newest first, crowded on some days and at midnights; Bob's lie between."""

    alice: User
    bob: User
    keys: list[ApiKey]
    history: list[RequestLog]


def requests_of_two() -> Requests:
    alice, bob = customer_with(100, email="alice@example.com"), UserFactory(email="bob@example.com")
    keys = [ApiKeyFactory(user=user).api_key for user in (alice, alice, bob)]
    for endpoint in ENDPOINTS:
        price(endpoint, 1)
    chance = random.Random(11)
    moments = []
    while len(moments) < 150:
        midnight = NOW.replace(hour=0) - DAY * chance.choice([0, 0, 1, 2, 3, 9, 10, 11, 30, 48])
        at = midnight + chance.choice([0 * DAY, -MICROSECOND, DAY * chance.random()])
        moments += [min(at, NOW)] * chance.choice([1, 1, 3])
    for place, at in enumerate(moments):
        lines = Line(
            f"{place}".encode(),
            ReportedRequest(
                customer="-",
                path=chance.choices(ENDPOINTS, weights=(60, 30, 3))[0],
                method="GET",
                status=chance.choices((200, 404, 402), weights=(80, 12, 8))[0],
                occurred_at=at,
            ),
            chance.choice([None, keys[0].pk, keys[0].pk, keys[1].pk]),
        )
        record_lines(user_id=alice.pk, source="test", lines=[lines], charge=False)
        if place % 10 == 0:
            report(bob, [request_at(at)])
    return Requests(alice, bob, keys, list(RequestLog.objects.filter(user=alice).order_by("-occurred_at", "-id")))


@pytest.fixture(scope="module")
def requests(django_db_setup, django_db_blocker) -> Iterator[Requests]:
    yield from module_data(django_db_blocker, requests_of_two)


@pytest.fixture
def alice(requests: Requests, db: None) -> User:
    return User.objects.get(pk=requests.alice.pk)


@pytest.fixture
def bob(requests: Requests, db: None) -> User:
    return User.objects.get(pk=requests.bob.pk)


@pytest.fixture
def keys(requests: Requests, db: None) -> list[ApiKey]:
    return requests.keys


@pytest.fixture
def history(requests: Requests, db: None) -> list[RequestLog]:
    return requests.history


def drained(pages: RequestPages, *, limit: int) -> list[RequestLog]:
    """Follow the cursors to the end."""
    found = pages.page(limit=limit, offset=0)
    while found and (following := pages.after(pages.position_of(found[-1]), limit=limit)):
        found += following
    return found


@pytest.mark.parametrize("seed", range(12))
def test_every_filter_page_and_cursor_returns_what_a_plain_list_returns(alice, keys, history, seed, monkeypatch):
    chance = random.Random(seed)
    monkeypatch.setattr(request_pages, "COUNTABLE", chance.choice([20, 1000]))
    edges = [log.occurred_at + shift for log in history for shift in (-MICROSECOND, 0 * DAY, MICROSECOND)]
    edges += [NOW.replace(hour=hour) - DAY * back for hour in (0, 9, 17) for back in (0, 1, 10, 40)]

    for _ in range(12):
        endpoint = chance.choice([None, None, *ENDPOINTS, "unknown"])
        outcome = chance.choice([None, None, "successful", "failed", "rejected"])
        key = chance.choice([None, None, None, *keys])
        start, end = sorted(chance.sample(edges, 2))
        start, end = chance.choice([None, start]), chance.choice([None, end])
        limit, offset = chance.choice([1, 7, 50, 100]), chance.choice([0, 1, 7, 30, 149, 150, 2_147_483_647])
        expected = [
            log
            for log in history
            if (endpoint is None or log.endpoint == endpoint)
            and (outcome is None or log.outcome == outcome)
            and (key is None or log.api_key_id == key.pk)
            and (start is None or log.occurred_at >= start)
            and (end is None or log.occurred_at < end)
        ]

        pages = RequestPages(alice.pk, NOW, endpoint, outcome, None if key is None else key.prefix, start, end)

        assert pages.count() == len(expected) or (key is not None and pages.count() is None)
        assert pages.page(limit=limit, offset=offset) == expected[offset : offset + limit]
        assert drained(pages, limit=limit) == expected


def test_each_request_comes_with_the_prefix_of_its_key(alice, keys, history):
    prefixes = {None: None, **{key.pk: key.prefix for key in keys}}

    for log in RequestPages(alice.pk, NOW).page(limit=150, offset=0):
        assert log.api_key_prefix == prefixes[log.api_key_id]


def test_a_key_is_counted_only_while_that_reads_little(alice, keys, history, monkeypatch):
    pages = RequestPages(alice.pk, NOW, api_key=keys[0].prefix)
    used = sum(log.api_key_id == keys[0].pk for log in history)

    assert pages.count() == used
    monkeypatch.setattr(request_pages, "COUNTABLE", len(history) - 1)
    assert pages.count() is None


def test_a_customer_without_requests_has_empty_pages():
    carol = UserFactory(email="carol@example.com")
    pages = RequestPages(carol.pk, NOW)

    assert (pages.count(), pages.page(limit=50, offset=0), drained(pages, limit=50)) == (0, [], [])
    assert RequestPages(carol.pk, NOW, api_key="0" * 12).page(limit=50, offset=0) == []


def test_another_customer_sees_none_of_the_requests(bob, history):
    assert {log.user_id for log in drained(RequestPages(bob.pk, NOW), limit=100)} == {bob.pk}


def test_requests_that_come_meanwhile_do_not_shift_what_follows_a_position(alice, history):
    pages = RequestPages(alice.pk, NOW)
    first = pages.page(limit=10, offset=0)

    report(alice, [request_at(NOW), request_at(history[20].occurred_at)])

    assert pages.after(pages.position_of(first[-1]), limit=5) == history[10:15]


@pytest.mark.parametrize(
    "position",
    [
        [],
        [1],
        ["x", 1],
        ["2026-01-01", 1],
        ["2026-01-01T00:00:00", 1],
        [None, 1],
        ["2026-01-01T00:00:00Z", "1"],
        [1, 2, 3],
    ],
)
def test_a_position_of_another_list_is_a_broken_cursor(alice, position):
    with pytest.raises(BrokenCursor):
        RequestPages(alice.pk, NOW).after(position, limit=1)


@pytest.mark.parametrize("asked", [{}, {"endpoint": "translate"}, {"outcome": "failed"}])
def test_counting_and_a_page_take_two_statements(alice, history, asked, django_assert_num_queries):
    with django_assert_num_queries(2):
        pages = RequestPages(alice.pk, NOW, **asked)
        pages.count()
        pages.page(limit=50, offset=3)


def test_a_page_by_key_takes_three_statements(alice, keys, history, django_assert_num_queries):
    with django_assert_num_queries(3):
        pages = RequestPages(alice.pk, NOW, api_key=keys[0].prefix)
        pages.count()
        pages.page(limit=50, offset=3)
