import csv
import datetime as dt
import io
from decimal import Decimal
from urllib.parse import parse_qs, urlsplit

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from ledger.models import AdjustmentReason, Entry
from ledger.services.adjustments.posting import adjust_credits
from tests.account import client_of, give
from tests.factories import StaffFactory, UserFactory
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request

pytestmark = pytest.mark.django_db
PATH = "/auth/account/ledger"


@pytest.fixture
def alice() -> User:
    """Create a customer with five entries: 100 bought, 2.5 and 3 charged, 10 given, 1 taken back."""
    user = UserFactory()
    give(user, 100, reference="pay_1")
    for number, credits in enumerate(("2.5", "3")):
        charge_request(
            AskedCharge(
                user_id=user.pk,
                endpoint="translate",
                credits=Decimal(credits),
                idempotency_key=f"c{number}",
                reference=f"req_{number}",
            )
        )
    staff = StaffFactory()
    for amount in (10, -1):
        adjust_credits(
            user_id=user.pk,
            amount=Decimal(amount),
            reason=AdjustmentReason.GOODWILL,
            note=f"note {amount}",
            actor_id=staff.pk,
            idempotency_key=f"a{amount}",
        )
    return user


def listed(user: User, **query: str | int) -> dict:
    answer = client_of(user).get(PATH, query)
    assert answer.status_code == 200, answer.content
    return answer.json()


def amounts(page: dict) -> list[float]:
    return [entry["amount"] for entry in page["results"]]


def test_entries_come_newest_first_and_their_balances_add_up(alice):
    page = listed(alice)

    assert page["count"] == 5
    assert amounts(page) == [-1, 10, -3, -2.5, 100]
    assert [entry["balance_after"] for entry in page["results"]] == [103.5, 104.5, 94.5, 97.5, 100]
    assert (page["next"], page["previous"], page["next_cursor"]) == (None, None, None)


def test_an_entry_has_the_fields_of_the_contract_and_no_others(alice):
    entry = listed(alice)["results"][-1]

    stored = Entry.objects.get(pk=entry["id"])
    assert entry == {
        "id": stored.pk,
        "user_id": alice.pk,
        "type": "credit",
        "amount": 100,
        "balance_after": 100,
        "description": "Credits purchased",
        "reference": "pay_1",
        "metadata": {},
        "created_at": stored.created_at.replace(tzinfo=None).isoformat() + "Z",
    }


@pytest.mark.parametrize(("type", "found"), [("credit", [100]), ("debit", [-3, -2.5]), ("adjustment", [-1, 10])])
def test_entries_are_narrowed_by_type(alice, type, found):
    page = listed(alice, type=type)

    assert (page["count"], amounts(page)) == (len(found), found)


def test_entries_are_narrowed_by_reference(alice):
    page = listed(alice, reference="req_1")

    assert (page["count"], amounts(page)) == (1, [-3])
    assert listed(alice, reference="req_")["count"] == 0


def test_a_window_of_time_is_half_open(alice):
    times = [entry["created_at"] for entry in listed(alice)["results"]]

    page = listed(alice, **{"from": times[3], "to": times[1]})

    assert (page["count"], amounts(page)) == (2, [-3, -2.5])


def test_a_date_alone_as_the_end_includes_its_whole_day(alice):
    today = Entry.objects.of(alice.pk).first().created_at.date()
    tomorrow = today + dt.timedelta(days=1)

    assert listed(alice, **{"from": today.isoformat(), "to": today.isoformat()})["count"] == 5
    assert listed(alice, **{"from": tomorrow.isoformat()})["count"] == 0


def test_filters_work_together(alice):
    times = [entry["created_at"] for entry in listed(alice)["results"]]

    page = listed(alice, type="debit", to=times[2])

    assert (page["count"], amounts(page)) == (1, [-2.5])


def test_pages_follow_each_other_and_keep_every_filter(alice):
    first = listed(alice, limit=2, **{"from": "2020-01-01"})
    second = client_of(alice).get(first["next"]).json()
    third = client_of(alice).get(second["next"]).json()

    assert [amounts(first), amounts(second), amounts(third)] == [[-1, 10], [-3, -2.5], [100]]
    assert parse_qs(urlsplit(first["next"]).query) == {"limit": ["2"], "offset": ["2"], "from": ["2020-01-01"]}
    assert third["next"] is None
    assert client_of(alice).get(third["previous"]).json()["results"] == second["results"]


def test_a_cursor_goes_on_where_the_previous_page_ended_despite_new_entries(alice):
    first = listed(alice, limit=2)
    give(alice, 7)

    second = listed(alice, limit=2, cursor=first["next_cursor"])
    third = listed(alice, limit=2, cursor=second["next_cursor"])

    assert [amounts(second), amounts(third)] == [[-3, -2.5], [100]]
    assert third["next_cursor"] is None


def test_an_offset_beyond_the_end_is_an_empty_page(alice):
    page = listed(alice, offset=5)

    assert (page["count"], page["results"], page["next"]) == (5, [], None)


@pytest.mark.parametrize(
    ("parameter", "value"),
    [
        ("type", "hold"),
        ("type", ""),
        ("type", "credit\x00"),
        ("limit", "0"),
        ("limit", "101"),
        ("limit", "ten"),
        ("limit", "１０"),
        ("offset", "-1"),
        ("offset", "2147483648"),
        ("offset", ""),
        ("from", "yesterday"),
        ("from", "2026-02-30"),
        ("to", "2026-01-01T00:00:00+15:00"),
        ("from", "20260101"),
        ("cursor", "nonsense"),
        ("reference", ""),
        ("reference", "x" * 256),
        ("reference", "\x00"),
        ("format", "xml"),
    ],
)
def test_an_invalid_parameter_is_refused_by_name(alice, parameter, value):
    answer = client_of(alice).get(PATH, {parameter: value})

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == [parameter]


@pytest.mark.parametrize("parameter", ["type", "from", "to", "limit", "offset", "reference", "cursor", "format"])
def test_a_parameter_given_twice_is_refused_by_name(alice, parameter):
    answer = client_of(alice).get(f"{PATH}?{parameter}=1&{parameter}=1")

    assert answer.status_code == 400
    assert parameter in answer.json()["errors"]


def test_unknown_parameters_are_ignored(alice):
    assert listed(alice, colour="green")["count"] == 5


def test_csv_holds_all_that_the_filters_select(alice):
    answer = client_of(alice).get(PATH, {"format": "csv", "type": "debit"})

    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert [row["amount"] for row in rows] == ["-3", "-2.5"]
    assert [row["reference"] for row in rows] == ["req_1", "req_0"]


def test_csv_is_cut_only_when_asked(alice):
    answer = client_of(alice).get(PATH, {"format": "csv", "limit": 2, "offset": 1})

    rows = list(csv.DictReader(io.StringIO(answer.getvalue().decode())))
    assert [row["amount"] for row in rows] == ["10", "-3"]


def test_customers_see_only_their_own_entries(alice):
    assert listed(UserFactory())["count"] == 0
    assert listed(StaffFactory(is_superuser=True))["count"] == 0


def test_a_call_without_a_token_is_refused(alice):
    assert APIClient().get(PATH).status_code == 401
    assert APIClient(headers={"Authorization": "Bearer nonsense"}).get(PATH).json()["code"] == "token_invalid"


def test_a_page_costs_a_fixed_number_of_statements(alice, django_assert_max_num_queries):
    client = client_of(alice)
    client.get(PATH)

    with django_assert_max_num_queries(3):  # the user, the range of places, the page
        client.get(PATH)
