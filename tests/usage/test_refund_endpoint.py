from decimal import Decimal

import pytest

from ledger.models import Entry
from ledger.selectors import balance_of
from tests.factories import ApiKeyFactory, customer_with
from tests.ledger.tampering import tamper
from tests.usage.gateway import Gateway, refused
from tests.usage.metering import captured, charge, held, price, rolled_up
from usage.services.charges.charge import Charge

pytestmark = pytest.mark.django_db
BODY = {"reason": "It did not work"}


@pytest.fixture
def paid(alice) -> Charge:
    price("search", 10)
    return charge(alice, reference="job 1")


@pytest.fixture
def path(paid) -> str:
    return f"/v2/charges/{paid.id}/refund"


def balance(user):
    return balance_of(user_id=user.pk).balance


def test_a_refund_returns_all_that_is_left_by_an_entry_that_names_its_charge(gateway, alice, paid, path):
    answer = gateway.post(path, BODY)

    entry = Entry.objects.latest("pk")
    assert answer.status_code == 201
    assert answer.json() == {
        "id": entry.pk,
        "user_id": alice.pk,
        "type": "credit",
        "amount": 10,
        "balance_after": 100,
        "description": "It did not work",
        "reference": "job 1",
        "metadata": {"charge_id": paid.id},
        "created_at": entry.created_at.replace(tzinfo=None).isoformat() + "Z",
        "reverses": paid.entry_id,
    }
    assert (entry.reason, entry.reverses_id) == ("refund", paid.entry_id)
    assert rolled_up(alice) == [("search", 1, 0, 0, 0)]


def test_partial_refunds_are_made_until_nothing_is_left(gateway, alice, path):
    parts = [gateway.post(path, {**BODY, "credits": credits}).json()["amount"] for credits in ("2.5", 4)]
    rest = gateway.post(path, BODY).json()["amount"]

    assert [*parts, rest] == [2.5, 4, 3.5]
    assert refused(gateway.post(path, BODY)) == (422, "refund_exceeds_charge")
    assert balance(alice) == 100


def test_a_refund_beyond_what_is_left_is_refused_and_refunds_nothing(gateway, alice, path):
    gateway.post(path, {**BODY, "credits": 6})

    answer = gateway.post(path, {**BODY, "credits": "4.000001"})

    assert refused(answer) == (422, "refund_exceeds_charge")
    assert balance(alice) == 96


def test_a_capture_is_refunded_by_its_entry(gateway, alice, paid):
    hold = held(alice, credits=Decimal(20)).hold
    taken = captured(hold).entry_id

    answer = gateway.post(f"/v2/charges/{taken}/refund", BODY).json()

    assert (answer["amount"], answer["reverses"]) == (20, taken)


def test_a_free_charge_has_nothing_left_to_refund(gateway, alice):
    price("free", 0)
    free = charge(alice, "free")

    assert refused(gateway.post(f"/v2/charges/{free.id}/refund", BODY)) == (422, "refund_exceeds_charge")


class TestARepetition:
    @pytest.mark.parametrize(
        ("first", "again"),
        [({}, {"credits": None}), ({"credits": 3}, {"credits": "3.0"}), ({}, {"unknown": 1})],
        ids=str,
    )
    def test_repetition_returns_the_same_entry(self, gateway, alice, path, first, again):
        made = gateway.post(path, BODY | first, key="k")
        before = balance(alice)

        for named in ({}, {"user_id": alice.pk}, {"api_key": ApiKeyFactory(user=alice).raw}):
            repeated = gateway.post(path, BODY | again | named, key="k")

            assert (repeated.status_code, repeated.json()) == (201, made.json())
            assert repeated.headers["Idempotent-Replayed"] == "true"
        assert balance(alice) == before

    @pytest.mark.parametrize("change", [{"credits": 2}, {"reason": "Another one"}], ids=str)
    def test_repetition_with_another_payload_is_refused(self, gateway, path, change):
        gateway.post(path, {**BODY, "credits": 1}, key="k")

        answer = gateway.post(path, {**BODY, "credits": 1} | change, key="k")

        assert refused(answer) == (422, "idempotency_key_reused")

    def test_repetition_of_a_refusal_is_judged_again(self, gateway, path):
        assert refused(gateway.post(path, {**BODY, "credits": 11}, key="k")) == (422, "refund_exceeds_charge")
        assert gateway.post(path, {**BODY, "credits": 10}, key="k").status_code == 201


def test_a_refund_without_an_idempotency_key_is_refused(gateway, alice, path):
    assert refused(gateway.post(path, BODY, key=None)) == (400, "idempotency_key_required")
    assert balance(alice) == 90


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({}, ["reason"]),
        ({"reason": ""}, ["reason"]),
        ({"reason": " \n"}, ["reason"]),
        ({"reason": None}, ["reason"]),
        ({"reason": 7}, ["reason"]),
        ({"reason": "x" * 501}, ["reason"]),
        ({"reason": "\u0000"}, ["reason"]),
        ({**BODY, "credits": 0}, ["credits"]),
        ({**BODY, "credits": -1}, ["credits"]),
        ({**BODY, "credits": "all"}, ["credits"]),
        ({**BODY, "user_id": 1, "api_key": "x"}, ["api_key", "user_id"]),
    ],
    ids=str,
)
def test_an_invalid_field_is_named(gateway, path, sent, fields):
    answer = gateway.post(path, sent)

    assert refused(answer) == (400, "invalid")
    assert sorted(answer.json()["errors"]) == fields


def test_an_unknown_charge_is_not_found_whatever_its_name(gateway, alice, paid):
    granted = Entry.objects.of(alice.pk).earliest("pk").pk
    names = (2**62, 0, 2**63, "x", "1_0", "-1", "%00", granted)

    answers = [gateway.post(f"/v2/charges/{name}/refund", BODY) for name in names]

    assert {refused(answer) for answer in answers} == {(404, "not_found")}
    assert len({answer.content for answer in answers}) == 1


def test_a_refund_cannot_be_refunded(gateway, path):
    given = gateway.post(path, BODY).json()["id"]

    assert refused(gateway.post(f"/v2/charges/{given}/refund", BODY)) == (404, "not_found")


def test_another_customers_charge_is_not_found(gateway, alice, path):
    bob = customer_with(10)
    nobodys = gateway.post("/v2/charges/9999999/refund", BODY)

    for named in ({"user_id": bob.pk}, {"api_key": ApiKeyFactory(user=bob).raw}):
        anothers = gateway.post(path, BODY | named)

        assert refused(anothers) == refused(nobodys) == (404, "not_found")
        assert anothers.content == nobodys.content
    assert balance(alice) == 90


def test_an_invalid_key_is_refused(gateway, path):
    assert refused(gateway.post(path, {**BODY, "api_key": "x"})) == (403, "customer_key_invalid")


@pytest.mark.django_db(transaction=True)
def test_a_balance_that_would_leave_its_bounds_is_refused():
    alice = customer_with(100)
    paid = charge(alice, credits=Decimal(10))
    tamper("UPDATE ledger_balance SET balance = 999999999, seq = seq + 1")

    answer = Gateway().post(f"/v2/charges/{paid.id}/refund", BODY)

    assert refused(answer) == (422, "balance_limit_exceeded")


def test_a_customers_own_key_may_not_refund(alice, path):
    own = Gateway(api_key=ApiKeyFactory(user=alice).raw)

    assert refused(own.post(path, BODY)) == (403, "scope_missing")
