import csv
import datetime as dt
import io
import json

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts import key_format
from accounts.models import ApiKey, User
from accounts.services.keys.api_keys import authenticate_api_key, revoke_api_key
from tests.account import client_of
from tests.factories import ApiKeyFactory, ServiceKeyFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
PATH = "/auth/account/api-keys"
DAY = dt.timedelta(days=1)


@pytest.fixture
def alice() -> User:
    return UserFactory()


def listed(user: User, **query: str | int) -> dict:
    answer = client_of(user).get(PATH, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def created(user: User, **body: object) -> dict:
    answer = client_of(user).post(PATH, {"name": "laptop", **body})
    assert answer.status_code == 201, answer.content
    return answer.json()


def names(page: dict) -> list[str]:
    return [key["name"] for key in page["results"]]


@pytest.fixture
def three_keys(alice) -> list[str]:
    """One of each status: `old` has expired, `lost` was revoked, `new` works."""
    now = timezone.now()
    ApiKeyFactory(user=alice, name="old", now=now - 3 * DAY, expires_at=now - DAY)
    lost = ApiKeyFactory(user=alice, name="lost", now=now - 2 * DAY, expires_at=now - DAY / 2)
    revoke_api_key(prefix=lost.api_key.prefix, now=now - DAY)
    ApiKeyFactory(user=alice, name="new", now=now - DAY)
    return ["new", "lost", "old"]


def test_a_new_key_is_shown_whole_once_and_works(alice):
    made = created(alice)

    (shown,) = listed(alice)["results"]
    assert authenticate_api_key(made["key"], now=timezone.now()).user == alice
    assert made == {**shown, "key": made["key"]}
    assert shown | {"created_at": None} == {
        "id": made["id"],
        "name": "laptop",
        "prefix": key_format.prefix_of(made["key"]),
        "last4": made["key"][-4:],
        "scopes": ["account:read"],
        "status": "active",
        "created_at": None,
        "expires_at": None,
        "revoked_at": None,
        "last_used_at": None,
        "rate_limit_per_minute": None,
        "spending_limit": None,
        "spending_reset_day": 1,
        "replaces": None,
        "replaced_by": None,
        "spent": None,
        "resets_at": None,
    }


def test_neither_the_key_nor_its_hash_is_ever_shown_again(alice):
    made = created(alice)

    for answer in (client_of(alice).get(PATH), client_of(alice).get(PATH, {"format": "csv"})):
        text = b"".join(answer) if answer.streaming else answer.content
        assert made["prefix"].encode() in text
        assert made["key"][21:].encode() not in text
        assert b"hash" not in text


def test_no_answer_about_keys_may_be_kept_by_caches(alice):
    assert client_of(alice).post(PATH, {"name": "x"}).headers["Cache-Control"] == "no-store"


def test_keys_come_newest_first_with_their_status(alice, three_keys):
    page = listed(alice)

    assert names(page) == three_keys
    assert [key["status"] for key in page["results"]] == ["active", "revoked", "expired"]


@pytest.mark.parametrize(("status", "found"), [("active", ["new"]), ("revoked", ["lost"]), ("expired", ["old"])])
def test_keys_are_narrowed_by_status(alice, three_keys, status, found):
    page = listed(alice, status=status)

    assert (page["count"], names(page)) == (1, found)


def test_pages_and_cursors_follow_each_other(alice, three_keys):
    first = listed(alice, limit=2)
    second = client_of(alice).get(first["next"]).json()
    by_cursor = listed(alice, limit=2, cursor=first["next_cursor"])

    assert (first["count"], names(first), names(second), names(by_cursor)) == (3, ["new", "lost"], ["old"], ["old"])
    assert by_cursor["next_cursor"] is None


def test_csv_holds_the_same_keys(alice, three_keys):
    answer = client_of(alice).get(PATH, {"format": "csv", "status": "active"})

    (row,) = csv.DictReader(io.StringIO(b"".join(answer).decode()))
    assert (row["name"], row["scopes"], row["status"]) == ("new", "account:read", "active")
    assert len(b"".join(client_of(alice).get(PATH, {"format": "csv", "limit": 1, "offset": 1})).splitlines()) == 2


def test_a_key_may_end_at_a_moment_or_in_days(alice):
    at = created(alice, expires_at="2100-01-01T02:00:00+02:00")
    days = created(alice, expires_in_days=30)
    never = created(alice, expires_at=None, expires_in_days=None)

    assert at["expires_at"] == "2100-01-01T00:00:00Z"
    key = ApiKey.objects.get(pk=days["id"])
    assert key.expires_at == key.created_at + 30 * DAY
    assert never["expires_at"] is None


def test_a_key_may_have_a_lower_rate_than_the_sites_but_not_a_higher_one(alice, settings):
    settings.RATE_LIMIT_PER_KEY = 100

    made = [created(alice, rate_limit_per_minute=calls)["rate_limit_per_minute"] for calls in (1, 100, None)]
    refused = client_of(alice).post(PATH, {"name": "fast", "rate_limit_per_minute": 101})

    assert made == [1, 100, None]
    assert (refused.status_code, refused.json()["errors"]) == (
        400,
        {"rate_limit_per_minute": ["Your keys may call at most 100 times a minute."]},
    )
    assert [key["rate_limit_per_minute"] for key in listed(alice)["results"]] == [None, 100, 1]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "name"),
        ({"name": ""}, "name"),
        ({"name": "   "}, "name"),
        ({"name": None}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"name": ["x"]}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"scopes": ["metering"]}, "scopes"),
        ({"scopes": ["account:read", "metering"]}, "scopes"),
        ({"scopes": ["account:write"]}, "scopes"),
        ({"scopes": []}, "scopes"),
        ({"scopes": "account:read"}, "scopes"),
        ({"scopes": None}, "scopes"),
        ({"scopes": {"account:read": True}}, "scopes"),
        ({"scopes": ["account:read"] * 11}, "scopes"),
        ({"scopes": [["account:read"]]}, "scopes.0"),
        ({"expires_at": "2020-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "2100-01-01"}, "expires_at"),
        ({"expires_at": "2101-01-01T00:00:00Z"}, "expires_at"),
        ({"expires_at": "tomorrow"}, "expires_at"),
        ({"expires_at": 4102444800}, "expires_at"),
        ({"expires_at": ""}, "expires_at"),
        ({"expires_in_days": 0}, "expires_in_days"),
        ({"expires_in_days": 36_501}, "expires_in_days"),
        ({"expires_in_days": 10**99}, "expires_in_days"),
        ({"expires_in_days": "30"}, "expires_in_days"),
        ({"expires_in_days": 1.5}, "expires_in_days"),
        ({"expires_in_days": True}, "expires_in_days"),
        *(
            ({"rate_limit_per_minute": calls}, "rate_limit_per_minute")
            for calls in (0, -1, 6_001, 10**99, "9", 1.5, True)
        ),
        ({"expires_in_days": 1, "expires_at": "2100-01-01T00:00:00Z"}, "expires_in_days"),
    ],
)
def test_an_invalid_value_of_a_new_key_is_refused_by_field(alice, body, field):
    asked = body if "name" in body or body == {} else {"name": "laptop", **body}

    answer = client_of(alice).post(PATH, json.dumps(asked), content_type="application/json")

    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize(
    ("parameter", "value"),
    [("status", "live"), ("status", ""), ("limit", "101"), ("offset", "-1"), ("cursor", "x"), ("format", "xml")],
)
def test_a_parameter_that_cannot_be_read_is_refused_by_name(alice, parameter, value):
    answer = client_of(alice).get(PATH, {parameter: value})

    assert (answer.status_code, list(answer.json()["errors"])) == (400, [parameter])


def test_only_so_many_keys_may_work_at_once(alice, settings):
    settings.API_KEYS_PER_CUSTOMER = 2
    now = timezone.now()
    ApiKeyFactory(user=alice, now=now - 2 * DAY, expires_at=now - DAY)
    ApiKeyFactory()
    first = created(alice)
    created(alice)

    refused = client_of(alice).post(PATH, {"name": "third"})
    client_of(alice).delete(f"{PATH}/{first['id']}")
    taken = client_of(alice).post(PATH, {"name": "third"})

    assert (refused.status_code, refused.json()["code"], refused.json()["limit"]) == (409, "api_key_limit_reached", 2)
    assert taken.status_code == 201


def test_a_revoked_key_is_refused_at_once_and_revoking_again_changes_nothing(alice):
    made = created(alice)

    answers = [client_of(alice).delete(f"{PATH}/{made['id']}") for _ in range(2)]

    assert [(answer.status_code, answer.content) for answer in answers] == [(204, b"")] * 2
    assert APIClient(headers={"X-API-KEY": made["key"]}).get("/v2/account/summary").status_code == 401
    first_time = ApiKey.objects.get().revoked_at
    client_of(alice).delete(f"{PATH}/{made['id']}")
    assert ApiKey.objects.get().revoked_at == first_time


def test_customers_see_and_revoke_their_own_keys_only(alice):
    made = created(alice)
    service = ServiceKeyFactory().api_key

    for other in (UserFactory(), StaffFactory(is_superuser=True)):
        assert listed(other)["count"] == 0
        refusals = [client_of(other).delete(f"{PATH}/{number}") for number in (made["id"], service.pk, 2**62)]
        assert [answer.status_code for answer in refusals] == [404] * 3
        assert len({answer.content for answer in refusals}) == 1
    assert listed(alice)["count"] == 1
    assert not ApiKey.objects.exclude(revoked_at=None).exists()


@pytest.mark.parametrize("absurd", ["0", "-1", "x", "1.0", "9223372036854775808", "9" * 500, "１", "%00", "1%20"])
def test_an_absurd_id_is_as_unknown_as_any_other(alice, absurd):
    answers = [
        client_of(alice).delete(f"{PATH}/{absurd}"),
        client_of(alice).patch(f"{PATH}/{absurd}"),
        client_of(alice).post(f"{PATH}/{absurd}/rotate"),
        client_of(alice).delete(f"{PATH}/999999"),
    ]

    assert [answer.json() for answer in answers] == [{"detail": "Not found.", "code": "not_found"}] * 4


@pytest.mark.parametrize(
    ("method", "path"),
    [("get", PATH), ("post", PATH), ("delete", f"{PATH}/1"), ("patch", f"{PATH}/1"), ("post", f"{PATH}/1/rotate")],
)
def test_every_call_is_a_401_without_a_token(alice, method, path):
    key = ApiKeyFactory(user=alice)
    by_key = APIClient(headers={"X-API-KEY": key.raw})
    signed_in = client_of(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    for client in (APIClient(), by_key, signed_in):
        answer = getattr(client, method)(path)
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"]


def test_the_list_takes_two_statements_besides_authentication(alice, three_keys, django_assert_num_queries):
    client = client_of(alice)
    client.get(PATH)

    with django_assert_num_queries(3):  # the user, the count, the page
        client.get(PATH)


def test_the_document_names_every_answer(client):
    paths = client.get("/api/schema?format=json").json()["paths"]

    assert set(paths[PATH]["post"]["responses"]) >= {"201", "400", "401", "409", "429"}
    assert set(paths[f"{PATH}/{{id}}/rotate"]["post"]["responses"]) >= {"201", "400", "404", "409"}
    assert set(paths[f"{PATH}/{{id}}"]["delete"]["responses"]) >= {"204", "404"}
