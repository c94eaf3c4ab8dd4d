import csv
import datetime as dt
import io
import uuid
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from rest_framework.test import APIClient

from accounts.key_format import hash_of
from accounts.models import User
from accounts.services.keys.api_keys import IssuedKey
from ledger.errors import InsufficientCredits
from tests.account import client_of
from tests.conftest import owner_connection
from tests.factories import ApiKeyFactory, StaffFactory, UserFactory
from tests.usage.metering import charge, price, report, request_at
from usage import request_pages
from usage.models import RequestLog
from usage.selectors import log_months
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request
from usage.services.retention import drop_old_months

pytestmark = pytest.mark.django_db
PATH = "/auth/account/requests"
JUNE = dt.datetime(2025, 6, 10, 12, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)


@pytest.fixture
def key(alice) -> IssuedKey:
    return ApiKeyFactory(user=alice)


@pytest.fixture
def requests(alice, key) -> None:
    """Five of June, oldest first: 200, 200, 404, 402 of two endpoints, and one with the key, charged today."""
    price("search", "2.5")
    price("translate", 1)
    report(alice, [request_at(JUNE), request_at(JUNE + DAY, "translate", latency_ms=12)])
    report(alice, [request_at(JUNE + 2 * DAY, status=404), request_at(JUNE + 3 * DAY, "translate", status=402)])
    charge_request(
        AskedCharge(
            key_hash=hash_of(key.raw), endpoint="search", idempotency_key="k", reference="job 7", metadata={"a": 1}
        )
    )


def listed(user: User, **query: str | int) -> dict:
    answer = client_of(user).get(PATH, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def statuses(page: dict) -> list[tuple[str, int]]:
    return [(each["endpoint"], each["status"]) for each in page["results"]]


NEWEST_FIRST = [("search", 200), ("translate", 402), ("search", 404), ("translate", 200), ("search", 200)]


def test_requests_come_newest_first(alice, requests):
    page = listed(alice)

    assert (page["count"], statuses(page)) == (5, NEWEST_FIRST)
    assert [each["outcome"] for each in page["results"]] == ["successful", "rejected", "failed", *["successful"] * 2]
    assert (page["next"], page["next_cursor"]) == (None, None)


def test_a_request_has_the_fields_of_the_contract_and_no_others(alice, key, requests):
    newest, *_, imported = listed(alice)["results"]

    stored = RequestLog.objects.get(pk=newest["id"])
    assert newest == {
        "id": stored.pk,
        "request_id": str(stored.request_id),
        "occurred_at": stored.occurred_at.replace(tzinfo=None).isoformat() + "Z",
        "endpoint": "search",
        "path": "search",
        "method": "",
        "status": 200,
        "outcome": "successful",
        "units": 1,
        "credits": 2.5,
        "unpaid": False,
        "latency_ms": None,
        "api_key": key.api_key.prefix,
        "reference": "job 7",
        "entry_id": stored.entry_id,
        "metadata": {"a": 1},
    }
    assert (imported["request_id"], imported["api_key"], imported["entry_id"]) == (None, None, None)
    assert imported["occurred_at"] == "2025-06-10T12:00:00Z"


def test_unpaid_requests_are_listed_too(alice, requests):
    with pytest.raises(InsufficientCredits):
        charge(alice, credits=Decimal(1000))
    report(alice, [request_at(JUNE - DAY, units=Decimal(500))], charged=True)

    page = listed(alice)

    assert (page["results"][0]["status"], page["results"][0]["outcome"]) == (402, "rejected")
    assert [each["unpaid"] for each in page["results"]] == [False] * 6 + [True]


@pytest.mark.parametrize(
    ("query", "places"),
    [
        ({"endpoint": "translate"}, [1, 3]),
        ({"endpoint": "trans"}, []),
        ({"status": "successful"}, [0, 3, 4]),
        ({"status": "failed"}, [2]),
        ({"status": "rejected"}, [1]),
        ({"status": "rejected", "endpoint": "search"}, []),
        ({"from": "2025-06-11", "to": "2025-06-12"}, [2, 3]),
        ({"from": "2025-06-11T12:00:00Z", "to": "2025-06-12T12:00:00Z"}, [3]),
        ({"from": "2025-06-12T14:00:00+02:00", "to": "2025-06-13T12:00:00.000001Z"}, [1, 2]),
        ({"to": "2025-06-10", "status": "successful"}, [4]),
        ({"from": "2100-01-01"}, []),
    ],
)
def test_requests_are_narrowed_by_what_is_asked(alice, requests, query, places):
    page = listed(alice, **query)

    assert (page["count"], statuses(page)) == (len(places), [NEWEST_FIRST[place] for place in places])


@pytest.mark.parametrize("start", ["", "tb_live_"])
def test_requests_are_narrowed_by_the_prefix_of_a_key(alice, key, requests, start):
    page = listed(alice, api_key=start + key.api_key.prefix)

    assert (page["count"], statuses(page)) == (1, NEWEST_FIRST[:1])
    assert listed(alice, api_key=start + key.api_key.prefix, status="failed")["count"] == 0


def test_another_customers_key_is_answered_like_an_unknown_one(alice, requests):
    strange = ApiKeyFactory().api_key.prefix

    assert listed(alice, api_key=strange) == listed(alice, api_key="0" * 12)
    assert listed(alice, api_key=strange)["results"] == []


def test_pages_follow_each_other_and_keep_every_filter(alice, requests):
    first = listed(alice, limit=2, **{"from": "2025-01-01"})
    second = client_of(alice).get(first["next"]).json()
    third = client_of(alice).get(second["next"]).json()

    assert [*statuses(first), *statuses(second), *statuses(third)] == NEWEST_FIRST
    assert parse_qs(urlsplit(first["next"]).query) == {"limit": ["2"], "offset": ["2"], "from": ["2025-01-01"]}
    assert (third["next"], client_of(alice).get(third["previous"]).json()["results"]) == (None, second["results"])


def test_a_cursor_goes_on_where_the_page_before_ended_whatever_comes_in_meanwhile(alice, requests):
    first = listed(alice, limit=2)
    charge(alice)

    second = listed(alice, limit=2, cursor=first["next_cursor"])
    third = listed(alice, limit=2, cursor=second["next_cursor"])

    assert [*statuses(second), *statuses(third)] == NEWEST_FIRST[2:]
    assert third["next_cursor"] is None


def test_the_count_is_null_and_every_page_readable_when_counting_would_take_too_long(alice, key, requests, monkeypatch):
    charge_request(AskedCharge(key_hash=hash_of(key.raw), endpoint="search", idempotency_key="k2"))
    monkeypatch.setattr(request_pages, "COUNTABLE", 5)

    first = listed(alice, api_key=key.api_key.prefix, limit=1)
    second = client_of(alice).get(first["next"]).json()
    by_cursor = listed(alice, api_key=key.api_key.prefix, limit=1, cursor=first["next_cursor"])

    assert [page["count"] for page in (first, second, by_cursor)] == [None] * 3
    assert second["results"] == by_cursor["results"]
    assert (second["next"], second["next_cursor"], by_cursor["next_cursor"]) == (None, None, None)


def test_an_offset_beyond_the_end_is_an_empty_page(alice, key, requests):
    for query in ({}, {"api_key": key.api_key.prefix}, {"status": "failed"}):
        assert listed(alice, offset=2_147_483_647, **query)["results"] == []


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("status", "200"),
        ("status", "Successful"),
        ("status", ""),
        ("endpoint", ""),
        ("endpoint", "x" * 201),
        ("endpoint", "\x00"),
        ("api_key", ""),
        ("api_key", "x"),
        ("api_key", "x" * 13),
        ("api_key", "x" * 11 + "é"),
        ("api_key", "x" * 12 + "\n"),
        ("api_key", "１" * 12),
        ("api_key", "tb_test_" + "x" * 12),
        ("from", "yesterday"),
        ("to", "2026-01-01T00:00:00+15:00"),
        ("limit", "101"),
        ("offset", "2147483648"),
        ("cursor", "nonsense"),
        ("format", "xml"),
    ],
)
def test_invalid_parameters_are_refused_by_name(alice, parameter, value):
    answer = client_of(alice).get(PATH, {parameter: value})

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [parameter]


def test_a_whole_key_in_the_address_is_refused(alice, key, requests):
    answer = client_of(alice).get(PATH, {"api_key": key.raw})

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["api_key"])
    assert key.raw not in answer.content.decode()


@pytest.mark.parametrize(
    "parameter", ["endpoint", "status", "api_key", "from", "to", "limit", "offset", "cursor", "format"]
)
def test_a_parameter_given_twice_is_refused_by_name(alice, parameter):
    answer = client_of(alice).get(f"{PATH}?{parameter}=1&{parameter}=1")

    assert answer.status_code == 400
    assert parameter in answer.json()["errors"]


def test_csv_holds_all_that_the_filters_select(alice, key, requests):
    def rows(**query: str | int) -> list[dict[str, str]]:
        answer = client_of(alice).get(PATH, {"format": "csv", **query})
        assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
        return list(csv.DictReader(io.StringIO(b"".join(answer).decode())))

    everything = rows()
    assert [(row["endpoint"], int(row["status"])) for row in everything] == NEWEST_FIRST
    assert list(everything[0]) == list(listed(alice)["results"][0])
    assert (everything[0]["api_key"], everything[0]["outcome"]) == (key.api_key.prefix, "successful")
    assert uuid.UUID(everything[0]["request_id"])
    assert rows(status="failed") == [everything[2]]
    assert rows(limit=2, offset=1) == everything[1:3]


def test_customers_see_only_their_own_requests(requests):
    assert listed(UserFactory())["count"] == 0
    assert listed(StaffFactory(is_superuser=True))["count"] == 0


def test_requests_are_hidden_without_a_token(alice, key, requests):
    signed_in = client_of(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    for client in (APIClient(), APIClient(headers={"X-API-KEY": key.raw}), signed_in):
        assert client.get(PATH).status_code == 401


@pytest.mark.parametrize("by_key", [False, True])
def test_a_page_takes_at_most_three_statements_besides_authentication(
    alice, key, requests, by_key, django_assert_max_num_queries
):
    client = client_of(alice)
    client.get(PATH)

    with django_assert_max_num_queries(4):
        client.get(PATH, {"api_key": key.api_key.prefix} if by_key else {"status": "successful", "to": "2025-06-11"})


@pytest.mark.django_db(transaction=True, databases=["default", "owner"])
def test_only_later_reports_of_a_dropped_month_are_listed_and_counted(alice, requests):
    with owner_connection(autocommit=True) as owner:
        for month in log_months():  # of other tests
            if month.year < 2025:
                owner.execute(f"DROP TABLE usage_requestlog_{month:%Y_%m}")
    drop_old_months(now=dt.datetime(2300, 1, 1, tzinfo=dt.UTC), keep_months=1)
    gone = listed(alice)
    report(alice, [request_at(JUNE + DAY), request_at(JUNE + 40 * DAY)])

    page = listed(alice)

    assert (gone["count"], gone["results"]) == (0, [])
    assert (page["count"], len(page["results"])) == (2, 2)
    assert listed(alice, limit=1, cursor=listed(alice, limit=1)["next_cursor"])["results"] == page["results"][1:]
    assert listed(alice, to="2025-06-11T12:00:00Z")["count"] == 0
    assert listed(alice, to="2025-06-11T12:00:01Z", **{"from": "2025-06-11T12:00:00Z"})["count"] == 1
