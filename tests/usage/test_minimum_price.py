"""The least that a request costs, whatever its units."""

import datetime as dt
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction

from ledger.models import Entry
from ledger.selectors import balance_of
from tests.usage.metering import LONG_AGO, charge, price, report, request_at, rolled_up
from usage.errors import PriceExists
from usage.models import Price, RequestLog

pytestmark = pytest.mark.django_db
MARCH = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


@pytest.mark.parametrize(
    ("credits", "minimum", "units", "cost"),
    [
        ("2", "0", "1", "2"),
        ("2", "5", "1", "5"),
        ("2", "5", "2.5", "5"),
        ("2", "5", "2.6", "5.2"),
        ("0.000001", "0", "0.4", "0"),
        ("0.000001", "0.000001", "0.4", "0.000001"),
        ("0", "0", "7", "0"),
        ("0", "0.5", "7", "0.5"),
    ],
)
def test_a_request_costs_at_least_the_minimum_of_its_price(alice, credits, minimum, units, cost):
    price("search", credits, minimum=Decimal(minimum))

    made = charge(alice, units=Decimal(units))

    assert made.credits == Decimal(cost)
    assert (made.entry_id is None) == (made.credits == 0)
    assert RequestLog.objects.get().credits == made.credits
    assert balance_of(user_id=alice.pk).balance == 100 - made.credits


@pytest.mark.parametrize(
    ("status", "charge_failures", "credits", "cost"),
    [
        (399, False, None, 5),
        (400, False, None, 0),
        (500, False, None, 0),
        (500, True, None, 5),
        *((rejected, True, credits, 0) for rejected in (401, 402, 429) for credits in (None, 7)),
        (200, False, 1, 1),
        (500, False, 1, 1),
    ],
)
def test_how_a_request_ended_and_a_given_amount_come_before_the_minimum(alice, status, charge_failures, credits, cost):
    price("search", 2, minimum=Decimal(5), charge_failures=charge_failures)

    assert charge(alice, status=status, credits=credits and Decimal(credits)).credits == cost


@pytest.mark.parametrize("endpoint", ["/v1/items/{id}", "*.png", "*"])
def test_prices_of_every_form_may_have_a_minimum(alice, endpoint):
    price(endpoint, 1, minimum=Decimal(3))

    assert charge(alice, "/v1/items/7.png").credits == 3


def test_reported_requests_cost_the_minimum_too(alice):
    price("search", 2, minimum=Decimal(5))

    recorded = report(
        alice,
        [request_at(MARCH, units=Decimal(1)), request_at(MARCH, units=Decimal(4)), request_at(MARCH, status=500)],
        charged=True,
    )

    assert (recorded.credits, Entry.objects.get(reason="usage").amount) == (13, -13)
    assert list(RequestLog.objects.order_by("id").values_list("credits", flat=True)) == [5, 8, 0]
    assert rolled_up(alice) == [("search", 2, 1, 0, 13)]


def test_the_same_price_with_another_minimum_is_another_price():
    first = price("search", 2, minimum=Decimal(5))

    assert price("search", 2, minimum=Decimal("5.0")) == first
    with pytest.raises(PriceExists):
        price("search", 2)


def test_a_minimum_below_zero_is_refused_by_the_database():
    with pytest.raises(IntegrityError, match="minimum_of_a_price_is_not_negative"), transaction.atomic():
        price("search", 1, minimum=Decimal(-1))


def test_a_price_has_no_minimum_unless_one_is_asked():
    assert price("search", 1).minimum == 0
    Price.objects.filter(effective_from=LONG_AGO).get(minimum=0)
