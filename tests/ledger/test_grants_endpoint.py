import csv
import io

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from ledger.models import Entry, Grant, GrantCategory
from tests.account import client_of
from tests.factories import StaffFactory, UserFactory
from tests.ledger.granting import end, granted
from tests.ledger.posting import post
from tests.usage.metering import charge

pytestmark = pytest.mark.django_db(transaction=True)
PATH = "/auth/account/grants"


@pytest.fixture
def alice(transactional_db) -> User:
    return UserFactory(email="alice@example.com")


@pytest.fixture
def grants(alice) -> dict[str, Entry]:
    """Create four grants: one used up, one partly expired, one drawn on, one untouched."""
    made = {"used": granted(alice, 1, priority=0), "expired": granted(alice, 4, days=1)}
    charge(alice, credits=3)
    end(made["expired"])
    made["drawn on"] = granted(alice, "7.5", days=30, category=GrantCategory.PAID, priority=10)
    made["untouched"] = post(alice, 5, type="credit", reason="purchase").entry
    charge(alice, credits=2)
    return made


def listed(user: User, **query: str | int) -> dict:
    answer = client_of(user).get(PATH, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def seen(page: dict) -> list[tuple[float, str]]:
    return [(each["remaining"], each["status"]) for each in page["results"]]


def test_grants_come_newest_first_with_what_is_left_of_each(alice, grants):
    page = listed(alice)

    assert page["count"] == 4
    assert seen(page) == [(5, "active"), (5.5, "active"), (0, "expired"), (0, "used")]


def test_a_grant_has_the_fields_of_the_contract_and_no_others(alice, grants):
    shown = listed(alice)["results"][1]

    stored = Grant.objects.get(pk=grants["drawn on"].pk)
    assert shown == {
        "id": stored.pk,
        "entry_id": stored.pk,
        "amount": 7.5,
        "remaining": 5.5,
        "category": "paid",
        "priority": 10,
        "effective_at": stored.effective_at.replace(tzinfo=None).isoformat() + "Z",
        "expires_at": stored.expires_at.replace(tzinfo=None).isoformat() + "Z",
        "created_at": stored.created_at.replace(tzinfo=None).isoformat() + "Z",
        "status": "active",
    }


def test_pages_and_cursors_follow_each_other(alice, grants):
    first = listed(alice, limit=3)

    by_offset = client_of(alice).get(first["next"]).json()
    by_cursor = listed(alice, limit=3, cursor=first["next_cursor"])

    assert (seen(by_offset), seen(by_cursor)) == ([(0, "used")], [(0, "used")])
    assert (by_offset["next"], by_cursor["next_cursor"]) == (None, None)


def test_csv_holds_the_same_as_the_list(alice, grants):
    rows = list(csv.DictReader(io.StringIO(b"".join(client_of(alice).get(PATH, {"format": "csv"})).decode())))

    assert [(row["remaining"], row["status"]) for row in rows] == [
        ("5", "active"),
        ("5.5", "active"),
        ("0", "expired"),
        ("0", "used"),
    ]
    assert [row["id"] for row in rows] == [str(each["id"]) for each in listed(alice)["results"]]
    assert rows[0]["expires_at"] == ""


@pytest.mark.parametrize(("parameter", "value"), [("limit", "0"), ("offset", "-1"), ("cursor", "x"), ("format", "xml")])
def test_an_invalid_parameter_is_refused_by_name(alice, parameter, value):
    answer = client_of(alice).get(PATH, {parameter: value})

    assert (answer.status_code, list(answer.json()["errors"])) == (400, [parameter])


def test_customers_see_only_their_own_grants(grants):
    assert listed(UserFactory())["count"] == 0
    assert listed(StaffFactory(is_superuser=True))["count"] == 0


def test_a_call_without_a_token_is_refused(alice, grants):
    signed_in = client_of(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    for client in (APIClient(), signed_in):
        assert client.get(PATH).status_code == 401


def test_a_repeated_list_takes_three_statements_besides_authentication(alice, grants, django_assert_num_queries):
    client = client_of(alice)
    client.get(PATH)

    with django_assert_num_queries(4):  # the user, whether anything is due, the count, the page
        client.get(PATH)
