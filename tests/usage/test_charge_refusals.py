from decimal import Decimal

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.key_format import hash_of
from ledger.errors import InsufficientCredits, UnknownCustomer
from ledger.models import Balance, Entry, OperationKey
from ledger.selectors import balance_of
from tests.factories import ApiKeyFactory, ServiceKeyFactory, customer_with, give
from tests.ledger.posting import freeze, hold
from tests.usage.metering import charge, price, rolled_up
from usage.errors import CustomerInactive, CustomerKeyInvalid
from usage.models import RequestLog

pytestmark = pytest.mark.django_db


class TestTheCustomersKey:
    def test_key_names_customer_and_key(self, alice):
        issued = ApiKeyFactory(user=alice)

        made = charge(None, key_hash=hash_of(issued.raw), credits=Decimal(1))

        assert made.user_id == alice.pk
        assert RequestLog.objects.get().api_key == issued.api_key

    @pytest.mark.parametrize(
        "state", [{"revoked_at": timezone.now()}, {"expires_at": timezone.now()}], ids=["revoked", "expired"]
    )
    def test_ended_key_is_refused(self, alice, state):
        issued = ApiKeyFactory(user=alice)
        type(issued.api_key).objects.update(**state)

        with pytest.raises(CustomerKeyInvalid):
            charge(None, key_hash=hash_of(issued.raw), credits=Decimal(1))

        assert not RequestLog.objects.exists()

    def test_key_of_a_deactivated_customer_is_refused(self, alice):
        issued = ApiKeyFactory(user=alice)
        type(alice).objects.update(is_active=False)

        with pytest.raises(CustomerKeyInvalid):
            charge(None, key_hash=hash_of(issued.raw), credits=Decimal(1))

    def test_unknown_key_is_refused(self, alice):
        with pytest.raises(CustomerKeyInvalid):
            charge(None, key_hash=hash_of("tb_live_unknown"), credits=Decimal(1))

    def test_service_key_is_refused(self, db):
        with pytest.raises(CustomerKeyInvalid):
            charge(None, key_hash=hash_of(ServiceKeyFactory().raw), credits=Decimal(1))


def test_a_deactivated_customer_is_not_charged(alice):
    type(alice).objects.update(is_active=False)

    with pytest.raises(CustomerInactive):
        charge(alice, credits=Decimal(1))


def test_an_unknown_customer_is_not_charged(db):
    with pytest.raises(UnknownCustomer):
        charge(None, user_id=987_654_321, credits=Decimal(1))


def test_a_charge_without_a_customer_charges_nobody(db):
    with pytest.raises(UnknownCustomer):
        charge(None, credits=Decimal(1))


class TestWithoutEnoughCredits:
    def test_the_request_is_refused_logged_as_rejected_and_costs_nothing(self, alice):
        priced = price("search", "100.5")

        with pytest.raises(InsufficientCredits) as refused:
            charge(alice, status=200, reference="r", metadata={"a": 1})

        logged = RequestLog.objects.get()
        assert (refused.value.required, refused.value.available) == (Decimal("100.5"), 100)
        assert refused.value.reason == "spent"
        assert (logged.status, logged.credits, logged.entry, logged.unpaid) == (402, 0, None, False)
        assert (logged.price, logged.reference, logged.metadata) == (priced, "r", {"a": 1})
        assert rolled_up(alice) == [("search", 0, 0, 1, 0)]
        assert balance_of(user_id=alice.pk).balance == 100

    def test_the_refusal_is_not_remembered(self, alice):
        price("search", 150)
        with pytest.raises(InsufficientCredits):
            charge(alice, idempotency_key="k")
        give(alice, 100)

        made = charge(alice, idempotency_key="k")

        assert (made.is_replay, made.balance_after) == (False, 50)
        assert rolled_up(alice) == [("search", 1, 0, 1, 150)]

    def test_held_credits_are_named_as_the_reason(self, alice):
        opened = hold(alice, 60).hold

        with pytest.raises(InsufficientCredits) as refused:
            charge(alice, credits=Decimal(50))

        assert (refused.value.reason, refused.value.available, refused.value.reserved) == ("held", 40, 60)
        assert refused.value.next_hold_expires_at == opened.expires_at

    def test_expired_holds_are_not_named_as_the_reason(self, alice):
        hold(alice, 60, seconds=0)

        assert charge(alice, credits=Decimal(100)).available == 0

    def test_a_price_beyond_all_bounds_is_refused_like_any_other(self, alice):
        price("search", "999999999.999999")

        with pytest.raises(InsufficientCredits) as refused:
            charge(alice, units=Decimal("999999999.999999"))

        assert refused.value.required > 10**17
        assert RequestLog.objects.get().status == 402


def test_a_frozen_customer_is_not_charged_until_the_balance_is_unfrozen(alice):
    price("free", 0)
    freeze(alice)

    with pytest.raises(InsufficientCredits) as refused:
        charge(alice, credits=Decimal(1))
    free = charge(alice, "free")
    freeze(alice, frozen=False)
    paid = charge(alice, credits=Decimal(1))

    assert (refused.value.reason, refused.value.available) == ("frozen", 100)
    assert (free.credits, paid.balance_after) == (0, 99)
    assert list(RequestLog.objects.order_by("id").values_list("status", "credits")) == [(402, 0), (200, 0), (200, 1)]


@pytest.mark.parametrize(
    "asked", [{"credits": Decimal(-1)}, {"credits": Decimal("NaN")}, {"credits": Decimal("0.0000005")}], ids=str
)
def test_an_invalid_amount_moves_nothing(alice, asked):
    with pytest.raises((DataError, IntegrityError)), transaction.atomic():
        charge(alice, **asked)

    assert balance_of(user_id=alice.pk).balance == 100


@pytest.mark.django_db(transaction=True)
class TestAllOrNothing:
    def test_a_charge_is_one_statement(self):
        alice = customer_with(100)
        price("search", 1)
        charge(alice)

        with CaptureQueriesContext(connection) as queries:
            charge(alice)

        assert [query["sql"].split("(")[0] for query in queries] == ["SELECT * FROM usage_charge"]

    @pytest.mark.parametrize(
        "asked",
        [{"status": 600}, {"status": 99}, {"units": Decimal(-1)}, {"reference": "x" * 256}, {"method": "x" * 11}],
    )
    @pytest.mark.parametrize("credits", [Decimal(5), None], ids=["paid", "free"])
    def test_a_charge_that_dies_halfway_leaves_nothing(self, asked, credits):
        alice = customer_with(100)
        price("search", 0)
        before = Balance.objects.values().get()

        with pytest.raises((IntegrityError, DataError)):
            charge(alice, credits=credits, idempotency_key="k", **asked)

        assert Balance.objects.values().get() == before
        assert Entry.objects.count() == 1
        assert not RequestLog.objects.exists()
        assert not OperationKey.objects.exists()
        assert rolled_up(alice) == []
        assert not charge(alice, credits=credits, idempotency_key="k").is_replay
