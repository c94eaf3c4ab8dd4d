import datetime as dt
from decimal import Decimal

import pytest
from rest_framework.test import APIClient

from accounts.models import User
from ledger.selectors import balance_of
from ledger.serializers.account import CreditBalanceSerializer, balance_answer
from ledger.services.holds import open_hold, release_hold
from tests.account import client_of, give
from tests.factories import StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
PATH = "/auth/account/credits"


@pytest.fixture
def alice() -> User:
    return UserFactory()


def test_a_new_account_has_no_credits_and_was_last_updated_at_its_creation(alice):
    answer = client_of(alice).get(PATH)

    assert answer.status_code == 200
    assert answer.json() == {
        "user_id": alice.pk,
        "balance": 0,
        "reserved": 0,
        "available": 0,
        "currency": "CREDITS",
        "last_updated": alice.created_at.replace(tzinfo=None).isoformat() + "Z",
        "auto_reload_enabled": False,
        "auto_reload_threshold": None,
        "auto_reload_amount": None,
    }


def test_numbers_are_printed_exactly_without_needless_zeros(alice):
    give(alice, "100.000001")
    give(alice, "0.5")

    answer = client_of(alice).get(PATH)

    assert b'"balance":100.500001,' in answer.content
    assert b'"reserved":0,' in answer.content


def test_a_hold_is_reserved_until_it_is_released(alice):
    give(alice, 100)
    hold = open_hold(user_id=alice.pk, credits=Decimal("30.5"), expires_in_seconds=900, idempotency_key="h").hold

    held = client_of(alice).get(PATH).json()
    release_hold(hold_id=hold.pk, idempotency_key="r")
    released = client_of(alice).get(PATH).json()

    assert (held["balance"], held["reserved"], held["available"]) == (100, 30.5, 69.5)
    assert (released["balance"], released["reserved"], released["available"]) == (100, 0, 100)
    assert released["last_updated"] > held["last_updated"]


def test_an_expired_hold_does_not_count_before_a_job_has_run(alice):
    give(alice, 100)
    hold = open_hold(user_id=alice.pk, credits=Decimal(30), expires_in_seconds=0, idempotency_key="h").hold

    answer = client_of(alice).get(PATH).json()

    hold.refresh_from_db()
    assert hold.status == "open"
    assert (answer["reserved"], answer["available"]) == (0, 100)
    assert dt.datetime.fromisoformat(answer["last_updated"]) == hold.expires_at


def test_the_unit_of_credit_is_the_sites_own(alice, settings):
    settings.CREDIT_UNIT = "WORDS"

    assert client_of(alice).get(PATH).json()["currency"] == "WORDS"


def test_customers_see_only_their_own_credits(alice):
    give(alice, 100)
    stranger, staff = UserFactory(), StaffFactory()

    assert client_of(stranger).get(PATH).json()["balance"] == 0
    assert client_of(staff).get(PATH).json()["user_id"] == staff.pk


def test_a_call_without_a_token_is_refused():
    answer = APIClient().get(PATH)

    assert answer.status_code == 401
    assert answer.json()["code"] == "not_authenticated"
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")
    assert answer.headers["Cache-Control"] == "no-store"


def test_it_takes_one_statement_besides_authentication(alice, django_assert_max_num_queries):
    client = client_of(alice)
    client.get(PATH)  # leases this minute's calls

    with django_assert_max_num_queries(2):
        client.get(PATH)


@pytest.mark.parametrize("method", ["post", "put", "patch", "delete", "options"])
def test_it_can_only_be_read(alice, method):
    answer = getattr(client_of(alice), method)(PATH)

    assert (answer.status_code, answer.json()["code"]) == (405, "method_not_allowed")


def test_the_response_matches_the_documented_serializer(alice):
    give(alice, "12.500000")
    balance = balance_of(user_id=alice.pk)

    assert balance_answer(balance) == CreditBalanceSerializer(balance).data
