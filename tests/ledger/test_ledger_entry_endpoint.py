import pytest
from rest_framework.test import APIClient

from accounts.models import User
from ledger.models import Entry
from tests.account import client_of, give
from tests.factories import StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST = "/auth/account/ledger"
NOT_FOUND = {"detail": "Not found.", "code": "not_found"}


@pytest.fixture
def entry(alice) -> Entry:
    give(alice, "12.5", reference="pay_7")
    return Entry.objects.of(alice.pk).get(reference="pay_7")


def test_an_entry_looks_as_it_does_in_the_list(alice, entry):
    client = client_of(alice)

    answer = client.get(f"{LIST}/{entry.pk}")

    assert answer.status_code == 200
    assert answer.json() == client.get(LIST, {"reference": "pay_7"}).json()["results"][0]
    assert (answer.json()["id"], answer.json()["amount"]) == (entry.pk, 12.5)


def test_another_customers_entry_is_not_found(entry, bob):
    for stranger in (bob, StaffFactory(is_superuser=True)):
        answers = [client_of(stranger).get(f"{LIST}/{number}") for number in (entry.pk, 2**62)]

        assert [(answer.status_code, answer.json()) for answer in answers] == [(404, NOT_FOUND)] * 2


@pytest.mark.parametrize(
    "absurd", ["0", "-1", "x", "1.0", "9223372036854775808", "9" * 500, "１", "%00", "1%20", "None"]
)
def test_an_absurd_id_is_unknown(alice, entry, absurd):
    answer = client_of(alice).get(f"{LIST}/{absurd}")

    assert (answer.status_code, answer.json()) == (404, NOT_FOUND)


def test_a_call_without_a_token_is_refused(alice, entry):
    signed_in = client_of(alice)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    for client in (APIClient(), signed_in):
        assert client.get(f"{LIST}/{entry.pk}").status_code == 401


def test_an_entry_cannot_be_changed(alice, entry):
    client = client_of(alice)

    for method in ("put", "patch", "delete", "post"):
        assert getattr(client, method)(f"{LIST}/{entry.pk}").json()["code"] == "method_not_allowed"


def test_it_takes_one_statement_besides_authentication(entry, django_assert_num_queries):
    client = client_of(entry.user)
    client.get(LIST)

    with django_assert_num_queries(2):
        client.get(f"{LIST}/{entry.pk}")


def test_a_customer_without_entries_has_none():
    assert client_of(UserFactory()).get(f"{LIST}/1").status_code == 404
