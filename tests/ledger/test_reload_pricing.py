"""What auto-reload buys and what it costs, in whole numbers: never beyond what is left, never more than needed."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger.models import PaymentMethod
from ledger.services.agreement.pricing import Purchase, Rate, Terms, purchase_for, smallest_charge

CREDITS = st.integers(1, 10**12).map(lambda micro: Decimal(micro).scaleb(-6))
RATES = st.builds(Rate, st.integers(1, 10**7), st.sampled_from(["USD", "JPY", "KWD"]))
USD = Rate(1000, "USD")
CARD = PaymentMethod(brand="visa", last4="4242")


def terms(threshold=100, amount=None, target=None):
    return Terms(Decimal(threshold), amount, target, 10**9, CARD)


def bought(asked, has, left_minor=10**9, rate=USD):
    return purchase_for(asked, has=Decimal(has), left_minor=left_minor, rate=rate)


@given(rate=RATES, credits=CREDITS)
def test_a_price_is_rounded_up_to_the_smallest_unit(rate, credits):
    assert rate.price_of(credits) == ceil(Fraction(credits) * rate.price_minor / 1000)


@given(rate=RATES, minor=st.integers(0, 10**8))
def test_credits_bought_cost_at_most_the_money_and_a_millionth_more_costs_more(rate, minor):
    credits = rate.credits_within(minor)

    assert rate.price_of(credits) <= minor
    assert rate.price_of(credits + Decimal("0.000001")) > minor


@given(
    rate=RATES,
    threshold=CREDITS,
    step=CREDITS,
    is_target=st.booleans(),
    below=st.fractions(0, 1),
    left_minor=st.integers(0, 10**8),
)
def test_a_purchase_closes_the_gap_exactly_or_uses_up_the_cap(rate, threshold, step, is_target, below, left_minor):
    asked = terms(threshold, target=threshold + step) if is_target else terms(threshold, amount=step)
    has = (threshold * below.numerator / below.denominator).quantize(Decimal("0.000001")) - Decimal("0.000001")

    purchase = bought(asked, has, left_minor, rate)

    if purchase is None:
        least = max(rate.least_credits(), Decimal(0) if is_target else step)
        assert rate.price_of(least) > left_minor
        return
    assert purchase.price_minor == rate.price_of(purchase.credits)
    assert smallest_charge(rate.currency) <= purchase.price_minor <= left_minor
    goal = max(asked.goal, has + rate.least_credits())
    enough = has + purchase.credits >= goal
    assert enough or rate.price_of(purchase.credits + (Decimal("0.000001") if is_target else step)) > left_minor
    assert has + purchase.credits - (0 if is_target else step) <= goal


@pytest.mark.parametrize(
    ("has", "expected"),
    [
        ("99.999999", Purchase(Decimal(100), 100)),
        ("0", Purchase(Decimal(100), 100)),
        ("-0.000001", Purchase(Decimal(200), 200)),
        ("-1900", Purchase(Decimal(2000), 2000)),
    ],
)
def test_an_amount_is_bought_as_often_as_needed(has, expected):
    assert bought(terms(amount=Decimal(100)), has) == expected


def test_a_lower_price_buys_as_many_amounts_as_make_a_payment():
    assert bought(terms(amount=Decimal(100)), 50, rate=Rate(100, "USD")) == Purchase(Decimal(500), 50)
