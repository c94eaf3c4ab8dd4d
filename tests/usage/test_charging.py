import uuid
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.key_format import hash_of
from ledger.errors import IdempotencyKeyReused
from ledger.models import Balance, Entry, OperationKey
from ledger.selectors import balance_of
from tests.factories import ApiKeyFactory, UserFactory, customer_with
from tests.ledger.posting import hold, post
from tests.usage.metering import charge, price, rolled_up
from usage.errors import PriceUnknown
from usage.models import RequestLog

pytestmark = pytest.mark.django_db


def test_a_charge_prices_debits_logs_and_counts(alice):
    priced = price("/v1/items/{id}", "2.5")
    request_id = uuid.uuid4()

    made = charge(
        alice,
        "/v1/items/7?full=1",
        units=Decimal(3),
        method="GET",
        latency_ms=12,
        reference="job 1",
        metadata={"größe": [1, None]},
        request_id=request_id,
    )

    entry, logged = Entry.objects.get(pk=made.entry_id), RequestLog.objects.get()
    assert (made.user_id, made.credits, made.balance_after, made.available) == (alice.pk, Decimal("7.5"), 92.5, 92.5)
    assert (made.request_id, made.is_replay) == (request_id, False)
    assert (entry.type, entry.reason, entry.amount) == ("debit", "usage", Decimal("-7.5"))
    assert (entry.reference, entry.description, entry.operation) == ("job 1", "/v1/items/{id}", "charge")
    assert entry.metadata == {"größe": [1, None], "charge_id": made.id, "request_id": str(request_id)}
    assert (logged.pk, logged.user, logged.entry, logged.price) == (made.id, alice, entry, priced)
    assert (logged.endpoint, logged.path) == ("/v1/items/{id}", "/v1/items/7")
    assert (logged.method, logged.status, logged.units, logged.credits) == ("GET", 200, 3, Decimal("7.5"))
    assert (logged.latency_ms, logged.reference, logged.request_id) == (12, "job 1", request_id)
    assert (logged.metadata, logged.source, logged.unpaid) == ({"größe": [1, None]}, "", False)
    assert rolled_up(alice) == [("/v1/items/{id}", 1, 0, 0, Decimal("7.5"))]


def test_without_a_reference_the_entry_refers_to_the_request(alice):
    made = charge(alice, credits=Decimal(1))

    assert Entry.objects.get(pk=made.entry_id).reference == str(made.request_id)


def test_usage_is_not_part_of_what_was_granted(alice):
    charge(alice, credits=Decimal(40))

    assert balance_of(user_id=alice.pk).granted_total == 100


@pytest.mark.parametrize(
    ("status", "charge_failures", "credits", "cost"),
    [
        (200, False, None, 2),
        (399, False, None, 2),
        (400, False, None, 0),
        (404, False, None, 0),
        (500, False, None, 0),
        (599, False, None, 0),
        (400, True, None, 2),
        (500, True, None, 2),
        (500, False, 7, 7),
        (200, False, 7, 7),
        (200, True, "0.000001", Decimal("0.000001")),
        *((rejected, True, credits, 0) for rejected in (401, 402, 429) for credits in (None, 7)),
    ],
)
def test_the_cost_of_a_request_depends_on_how_it_ended(alice, status, charge_failures, credits, cost):
    price("search", 2, charge_failures=charge_failures)

    made = charge(alice, status=status, credits=credits and Decimal(credits))

    assert made.credits == cost
    assert (made.entry_id is None) == (cost == 0)
    assert RequestLog.objects.get().status == status
    assert balance_of(user_id=alice.pk).balance == 100 - cost


@pytest.mark.parametrize(
    ("credits", "units", "cost"),
    [
        ("0.3", "3", "0.9"),
        ("0.000001", "0.5", "0.000001"),
        ("0.000001", "0.4", "0"),
        ("1.234567", "1.5", "1.851851"),
        ("33.333333", "3", "99.999999"),
    ],
)
def test_a_cost_is_rounded_half_up_to_six_places(alice, credits, units, cost):
    price("search", credits)

    assert charge(alice, units=Decimal(units)).credits == Decimal(cost)


@pytest.mark.parametrize(("status", "column"), [(200, 1), (302, 1), (404, 2), (500, 2), (401, 3), (402, 3), (429, 3)])
def test_each_request_is_counted_by_how_it_ended(alice, status, column):
    price("search", 0)

    charge(alice, status=status)

    (counted,) = rolled_up(alice)
    assert counted[column] == 1
    assert sum(counted[1:4]) == 1


def test_requests_of_a_day_and_endpoint_are_one_sum(alice):
    price("search", 2)
    price("*", 1)

    for endpoint, status in (("search", 200), ("search", 500), ("x", 200), ("y", 200), ("search", 429)):
        charge(alice, endpoint, status=status)

    assert rolled_up(alice) == [("*", 2, 0, 0, 2), ("search", 1, 1, 1, 2)]


def test_an_endpoint_without_a_price_is_refused(alice):
    with pytest.raises(PriceUnknown, match="'nothing'"):
        charge(alice, "nothing")

    assert not RequestLog.objects.exists()
    assert rolled_up(alice) == []


def test_a_given_amount_needs_no_price_and_is_counted_under_everything_else(alice):
    charge(alice, "nothing", credits=Decimal(5))

    logged = RequestLog.objects.get()
    assert (logged.endpoint, logged.path, logged.price, logged.credits) == ("*", "nothing", None, 5)


def test_a_given_amount_is_counted_under_the_price_that_names_the_endpoint(alice):
    price("search", 2)

    charge(alice, credits=Decimal(5))

    assert rolled_up(alice) == [("search", 1, 0, 0, 5)]


class TestAFreeCharge:
    @pytest.fixture(autouse=True)
    def _free(self):
        price("search", 0)

    def test_free_charge_is_logged_once_without_an_entry(self, alice):
        made = charge(alice)

        assert (made.credits, made.entry_id, made.balance_after, made.available) == (0, None, 100, 100)
        assert RequestLog.objects.get().pk == made.id
        assert Entry.objects.of(alice.pk).count() == 1
        assert rolled_up(alice) == [("search", 1, 0, 0, 0)]

    def test_free_charge_needs_no_balance(self):
        made = charge(UserFactory())

        assert (made.balance_after, made.available) == (0, 0)
        assert not Balance.objects.exists()

    def test_free_charge_shows_open_holds_but_not_expired_ones(self, alice):
        hold(alice, 30)
        hold(alice, 20, seconds=0)

        assert charge(alice).available == 70

    def test_free_charge_is_replayed_but_for_the_current_balance(self, alice):
        first = charge(alice, idempotency_key="k")
        post(alice, 5)

        again = charge(alice, idempotency_key="k")

        assert again.is_replay
        assert (again.id, again.request_id, again.credits) == (first.id, first.request_id, 0)
        assert (again.entry_id, again.balance_after) == (None, 100)
        assert again.available == 105
        assert RequestLog.objects.count() == OperationKey.objects.count() == 1
        assert rolled_up(alice) == [("search", 1, 0, 0, 0)]

    @pytest.mark.parametrize("change", [{"status": 500}, {"credits": Decimal(1)}, {"endpoint": "x"}], ids=", ".join)
    def test_free_charge_is_not_replayed_with_another_payload(self, alice, change):
        charge(alice, idempotency_key="k")

        with pytest.raises(IdempotencyKeyReused):
            charge(alice, **change, idempotency_key="k")


def test_a_paid_charge_is_replayed_but_for_the_current_balance(alice):
    price("search", 10)
    first = charge(alice, idempotency_key="k")
    post(alice, 5)

    again = charge(alice, idempotency_key="k")

    assert again.is_replay
    assert (again.id, again.request_id, again.entry_id) == (first.id, first.request_id, first.entry_id)
    assert (again.credits, again.balance_after, again.available) == (10, 90, 95)
    assert RequestLog.objects.count() == 1
    assert rolled_up(alice) == [("search", 1, 0, 0, 10)]


def test_a_repetition_pays_the_price_of_then(alice):
    price("search", 10)
    charge(alice, idempotency_key="k")
    price("search", 99, effective_from=timezone.now())

    assert charge(alice, idempotency_key="k").credits == 10


@pytest.mark.parametrize(
    "change",
    [
        {"endpoint": "search?x"},
        {"units": Decimal(2)},
        {"credits": Decimal(10)},
        {"status": 201},
        {"method": "GET"},
        {"latency_ms": 1},
        {"reference": "r"},
        {"metadata": {"a": 1}},
    ],
    ids=", ".join,
)
def test_another_payload_under_the_key_is_refused(alice, change):
    price("search", 10)
    charge(alice, idempotency_key="k")

    with pytest.raises(IdempotencyKeyReused):
        charge(alice, **change, idempotency_key="k")

    assert rolled_up(alice) == [("search", 1, 0, 0, 10)]


@pytest.mark.parametrize("units", ["1", "1.0", "1.000000"])
def test_the_same_units_are_the_same_payload_however_written(alice, units):
    price("search", 10)
    charge(alice, idempotency_key="k")

    assert charge(alice, idempotency_key="k", units=Decimal(units)).is_replay


def test_keys_belong_to_the_customer(alice):
    bob = customer_with(10)
    charge(alice, credits=Decimal(1), idempotency_key="k")

    assert not charge(bob, credits=Decimal(1), idempotency_key="k").is_replay


def test_a_charge_of_a_key_is_the_charge_of_its_customer(alice):
    issued = ApiKeyFactory(user=alice)
    charge(alice, credits=Decimal(1), idempotency_key="k")

    again = charge(None, key_hash=hash_of(issued.raw), credits=Decimal(1), idempotency_key="k")

    assert again.is_replay
