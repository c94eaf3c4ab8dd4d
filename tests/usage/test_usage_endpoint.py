import datetime as dt
from decimal import Decimal

import pytest
import time_machine
from rest_framework.test import APIClient

from accounts.models import User
from tests.account import client_of, give, requested
from tests.factories import StaffFactory, UserFactory
from usage.services.prices import set_price
from usage.services.retention import drop_old_months

pytestmark = pytest.mark.django_db
PATH = "/auth/account/usage"
NOW = dt.datetime(2026, 3, 15, 12, 30, tzinfo=dt.UTC)


def at(text: str) -> dt.datetime:
    return dt.datetime.fromisoformat(text + "Z")


@pytest.fixture
def alice() -> User:
    """A customer with requests on both sides of each boundary of a period."""
    long_ago = at("2020-01-01T00:00:00")
    set_price(endpoint="translate", credits=Decimal("2.5"), effective_from=long_ago)
    set_price(endpoint="*.png", credits=Decimal(0), effective_from=long_ago)
    set_price(endpoint="*", credits=Decimal(1), effective_from=long_ago)
    user = UserFactory()
    give(user, 1000)
    requested(
        user,
        [
            (at("2025-12-31T23:59:59.999999"), "translate", 200),
            (at("2026-01-01T00:00:00"), "translate", 200),
            (at("2026-02-28T23:59:59.999999"), "translate", 200),
            (at("2026-03-01T00:00:00"), "translate", 200),
            (at("2026-03-14T10:00:00"), "/a.png?size=2", 304),
            (at("2026-03-14T23:59:59.999999"), "translate", 500),
            (at("2026-03-15T00:00:00"), "/other", 404),
            (at("2026-03-15T01:00:00"), "translate", 429),
            (at("2026-03-15T12:29:59"), "translate", 201),
        ],
    )
    return user


def stats(user: User, **query: str) -> dict:
    with time_machine.travel(NOW, tick=False):
        answer = client_of(user).get(PATH, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def test_the_running_month_is_the_default(alice):
    assert stats(alice) == {
        "user_id": alice.pk,
        "period": "monthly",
        "total_requests": 5,
        "successful_requests": 3,
        "failed_requests": 2,
        "credits_consumed": 5,
        "requests_by_endpoint": {"translate": 3, "*.png": 1, "*": 1},
        "period_start": "2026-03-01T00:00:00Z",
        "period_end": "2026-03-15T12:30:00Z",
    }


@pytest.mark.parametrize(
    ("period", "start", "total"),
    [
        ("daily", "2026-03-15T00:00:00Z", 2),
        ("monthly", "2026-03-01T00:00:00Z", 5),
        ("yearly", "2026-01-01T00:00:00Z", 7),
    ],
)
def test_the_period_picks_the_start(alice, period, start, total):
    answer = stats(alice, period=period)

    assert (answer["period"], answer["period_start"], answer["total_requests"]) == (period, start, total)


@pytest.mark.parametrize(
    ("start", "end", "total", "credits"),
    [
        ("2026-03-14", "2026-03-14", 2, 0),
        ("2026-03-14T10:00:00", "2026-03-14T10:00:00.000001", 1, 0),
        ("2026-03-14T10:00:00.000001", "2026-03-14T23:59:59.999999", 0, 0),
        ("2025-12-31T23:59:59.999999", "2026-03-01T00:00:00", 3, 7.5),
        ("2025-12-31T23:59:59.999999Z", "2026-03-01T00:00:00.000001Z", 4, 10),
        ("2026-03-01T05:30:00+05:30", "2026-03-15T23:59:00-14:00", 5, 5),
        ("2020-01-01", "2100-12-31", 8, 12.5),
        ("2026-03-15T06:00", "2026-03-15T18:00", 1, 2.5),
    ],
)
def test_any_window_is_summed_exactly(alice, start, end, total, credits):
    answer = stats(alice, **{"from": start, "to": end})

    assert (answer["total_requests"], answer["credits_consumed"]) == (total, credits)
    assert sum(answer["requests_by_endpoint"].values()) == total
    assert answer["successful_requests"] + answer["failed_requests"] == total


def test_the_response_names_its_window(alice):
    answer = stats(alice, period="yearly", **{"from": "2026-03-01T02:00:00+02:00", "to": "2026-03-02"})

    assert (answer["period"], answer["period_start"], answer["period_end"]) == (
        "yearly",
        "2026-03-01T00:00:00Z",
        "2026-03-03T00:00:00Z",
    )


def test_rejected_requests_are_in_no_total(alice):
    answer = stats(alice, **{"from": "2026-03-15T01:00", "to": "2026-03-15T02:00"})

    assert (answer["total_requests"], answer["requests_by_endpoint"]) == (0, {})


@pytest.mark.parametrize(
    ("query", "named"),
    [
        ({"period": "weekly"}, "period"),
        ({"period": ""}, "period"),
        ({"from": "2026-13-01"}, "from"),
        ({"to": "tomorrow"}, "to"),
        ({"from": "2026-03-02", "to": "2026-03-01"}, "from"),
        ({"from": "2026-03-02T00:00", "to": "2026-03-02T00:00"}, "from"),
        ({"from": "2026-03-16"}, "from"),
        ({"to": "2026-02-01"}, "to"),
        ({"from": "1999-12-31"}, "from"),
        ({"from": "2026-03-01T00:00 02:00"}, "from"),
    ],
)
def test_invalid_parameters_are_refused_by_name(alice, query, named):
    with time_machine.travel(NOW, tick=False):
        answer = client_of(alice).get(PATH, query)

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [named]


def test_at_the_very_start_of_a_period_the_window_is_empty_and_no_error(alice):
    with time_machine.travel(at("2026-04-01T00:00:00"), tick=False):
        answer = client_of(alice).get(PATH)

    assert (answer.status_code, answer.json()["total_requests"]) == (200, 0)


def test_customers_see_only_their_own_usage(alice):
    assert stats(UserFactory(), period="yearly")["total_requests"] == 0
    assert stats(StaffFactory(), period="yearly")["total_requests"] == 0


def test_usage_is_hidden_without_a_token(alice):
    assert APIClient().get(PATH).status_code == 401


def test_usage_takes_one_statement_besides_authentication(alice, django_assert_max_num_queries):
    client = client_of(alice)
    client.get(PATH)

    with django_assert_max_num_queries(2):
        client.get(PATH, {"from": "2026-02-03T04:05:06", "to": "2026-03-10T11:12:13"})


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_whole_days_are_counted_and_named_where_the_log_was_dropped(alice):
    client = client_of(alice)
    drop_old_months(now=dt.datetime(2067, 1, 1, tzinfo=dt.UTC), keep_months=480)

    whole = client.get(PATH, {"from": "2026-03-14", "to": "2026-03-14"})
    odd = client.get(PATH, {"from": "2026-03-14T09:00", "to": "2026-03-14T10:00"})

    assert "X-Usage-Resolution" not in whole.headers
    assert (odd.status_code, odd.headers["X-Usage-Resolution"]) == (200, "day")
    assert odd.json() == whole.json()
    assert (odd.json()["period_start"], odd.json()["total_requests"]) == ("2026-03-14T00:00:00Z", 2)
