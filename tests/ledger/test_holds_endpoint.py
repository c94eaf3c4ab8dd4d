import csv
import io

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from ledger.models import Hold
from ledger.services.holds import release_hold
from tests.account import client_of
from tests.factories import StaffFactory
from tests.ledger.posting import hold

pytestmark = pytest.mark.django_db
PATH = "/auth/account/holds"


@pytest.fixture
def holds(alice, bob) -> dict[str, Hold]:
    """Create four holds: one open, one released, one settled as expired, one expired and not settled yet."""
    made = {"expired": hold(alice, 1, seconds=0).hold}
    made["released"] = hold(alice, 2).hold  # opening it settles what had expired
    release_hold(hold_id=made["released"].pk, idempotency_key="r")
    made["open"] = hold(alice, "3.5", reference="job 7", metadata={"a": 1}).hold
    made["run out"] = hold(alice, 4, seconds=0).hold
    assert Hold.objects.get(pk=made["expired"].pk).status == "expired"
    assert Hold.objects.get(pk=made["run out"].pk).status == "open"
    return made


def listed(user: User, **query: str | int) -> dict:
    answer = client_of(user).get(PATH, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def credits(page: dict) -> list[float]:
    return [each["credits"] for each in page["results"]]


def test_holds_come_newest_first_with_their_outcome(alice, holds):
    page = listed(alice)

    assert (page["count"], credits(page)) == (4, [4, 3.5, 2, 1])
    assert [each["status"] for each in page["results"]] == ["expired", "open", "released", "expired"]


def test_a_hold_has_the_fields_of_the_contract_and_no_others(alice, holds):
    (shown,) = listed(alice, status="open")["results"]

    stored = Hold.objects.get(pk=holds["open"].pk)
    assert shown == {
        "id": stored.pk,
        "user_id": alice.pk,
        "credits": 3.5,
        "captured": 0,
        "status": "open",
        "expires_at": stored.expires_at.replace(tzinfo=None).isoformat() + "Z",
        "reference": "job 7",
        "metadata": {"a": 1},
        "created_at": stored.created_at.replace(tzinfo=None).isoformat() + "Z",
        "settled_at": None,
    }


def test_a_hold_is_shown_as_expired_before_it_is_settled(alice, holds):
    shown = listed(alice, status="expired")["results"][0]

    assert (shown["id"], shown["status"]) == (holds["run out"].pk, "expired")
    assert shown["settled_at"] == shown["expires_at"]
    assert Hold.objects.get(pk=shown["id"]).settled_at is None


@pytest.mark.parametrize(
    ("status", "found"), [("open", [3.5]), ("released", [2]), ("expired", [4, 1]), ("captured", [])]
)
def test_the_filter_agrees_with_what_is_shown(alice, holds, status, found):
    page = listed(alice, status=status)

    assert (page["count"], credits(page)) == (len(found), found)
    assert {each["status"] for each in page["results"]} <= {status}


def test_pages_and_cursors_follow_each_other_and_keep_the_filter(alice, holds):
    first = listed(alice, limit=1, status="expired")

    by_offset = client_of(alice).get(first["next"]).json()
    by_cursor = listed(alice, limit=1, status="expired", cursor=first["next_cursor"])

    assert (credits(first), credits(by_offset), credits(by_cursor)) == ([4], [1], [1])
    assert (by_offset["next"], by_cursor["next_cursor"]) == (None, None)


def test_csv_holds_the_same_as_the_list(alice, holds):
    answer = client_of(alice).get(PATH, {"format": "csv"})

    rows = list(csv.DictReader(io.StringIO(b"".join(answer).decode())))
    assert [(row["credits"], row["status"]) for row in rows] == [
        ("4", "expired"),
        ("3.5", "open"),
        ("2", "released"),
        ("1", "expired"),
    ]
    assert rows[0]["settled_at"] == rows[0]["expires_at"]
    cut = b"".join(client_of(alice).get(PATH, {"format": "csv", "limit": 1, "offset": 3})).decode()
    assert [row["credits"] for row in csv.DictReader(io.StringIO(cut))] == ["1"]


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("status", "Open"),
        ("status", ""),
        ("status", "open\x00"),
        ("limit", "0"),
        ("offset", "2147483648"),
        ("cursor", "x"),
        ("format", "xml"),
    ],
)
def test_an_invalid_parameter_is_refused_by_name(alice, parameter, value):
    answer = client_of(alice).get(PATH, {parameter: value})

    assert (answer.status_code, list(answer.json()["errors"])) == (400, [parameter])


@pytest.mark.parametrize("parameter", ["status", "limit", "offset", "cursor", "format"])
def test_a_parameter_given_twice_is_refused_by_name(alice, parameter):
    answer = client_of(alice).get(f"{PATH}?{parameter}=1&{parameter}=1")

    assert answer.status_code == 400
    assert parameter in answer.json()["errors"]


def test_customers_see_only_their_own_holds(holds, bob):
    assert listed(bob)["count"] == 0
    assert listed(StaffFactory(is_superuser=True))["count"] == 0


def test_a_call_without_a_token_is_refused(alice, holds):
    signed_in = client_of(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    for client in (APIClient(), signed_in):
        assert client.get(PATH).status_code == 401


def test_the_list_takes_two_statements_besides_authentication(alice, holds, django_assert_num_queries):
    client = client_of(alice)
    client.get(PATH)

    with django_assert_num_queries(3):  # the user, the count, the page
        client.get(PATH)
