"""Burning grants at a steady rate: each credit is burnt or lost, and nothing is left at the end."""

from decimal import Decimal
from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from usage.services.forecasts.runway import GrantAhead, runway_of, spend


def grant(credits, days=None):
    return GrantAhead(Decimal(credits), None if days is None else Fraction(days))


def test_without_expiry_credits_last_as_long_as_the_rate_says():
    assert runway_of([grant(10), grant(5)], Decimal(2)).days == Fraction(15, 2)


def test_a_rate_of_zero_burns_nothing_though_grants_expire():
    runway = runway_of([grant(10, 3), grant(5)], Decimal(0))

    assert (runway.days, runway.unspent) == (None, ((3, 10),))


def test_credits_that_expire_before_they_are_burnt_are_lost():
    runway = runway_of([grant(10, 3), grant(4)], Decimal(2))

    assert (runway.days, runway.unspent) == (5, ((3, 4),))


def test_a_grant_burnt_up_at_its_expiry_loses_nothing():
    runway = runway_of([grant(6, 3), grant(4)], Decimal(2))

    assert (runway.days, runway.unspent) == (5, ())


def test_a_grant_spent_later_may_expire_untouched():
    runway = runway_of([grant(10), grant(7, 2)], Decimal(1))

    assert (runway.days, runway.unspent) == (10, ((2, 7),))


def test_credits_that_all_expire_are_gone_when_the_last_of_them_are():
    assert runway_of([grant(100, 2), grant(100, 4)], Decimal(1)).days == 4


def test_no_grants_last_no_time():
    assert runway_of([], Decimal(1)).days == 0


def test_losses_within_some_days_are_added_up():
    runway = runway_of([grant(10, 3), grant(10, 30), grant(10, 31)], Decimal("0.5"))

    assert runway.unspent_within(30) == Fraction("8.5")


def test_spending_takes_from_the_first_grants():
    assert spend([grant(3, 1), grant(5), grant(2)], Decimal(4)) == [grant(4), grant(2)]
    assert spend([grant(3)], Decimal(3)) == spend([grant(3)], Decimal(9)) == []


GRANTS = st.lists(
    st.builds(
        GrantAhead,
        st.decimals("0.000001", 1000, places=6),
        st.none() | st.fractions(0, 60, max_denominator=1440),
    ),
    max_size=8,
)
RATES = st.decimals("0.000001", 500, places=6)


@settings(max_examples=300, deadline=None, database=None)
@given(grants=GRANTS, rate=RATES)
def test_each_credit_is_burnt_or_lost(grants, rate):
    runway = runway_of(grants, rate)

    lost = sum((credits for _, credits in runway.unspent), Fraction(0))
    assert runway.days * Fraction(rate) + lost == sum(Fraction(each.credits) for each in grants)
    assert all(credits > 0 for _, credits in runway.unspent)


@settings(max_examples=100, deadline=None, database=None)
@given(grants=GRANTS, rate=RATES)
def test_a_runway_equals_a_plain_walk_from_one_expiry_to_the_next(grants, rate):
    left, at = [Fraction(each.credits) for each in grants], Fraction(0)
    while True:
        for place, each in enumerate(grants):
            if each.expires_in_days is not None and each.expires_in_days <= at:
                left[place] = Fraction(0)
        first = next((place for place, credits in enumerate(left) if credits), None)
        if first is None:
            break
        ends = [
            each.expires_in_days for each in grants if each.expires_in_days is not None and each.expires_in_days > at
        ]
        until = min([*ends, at + left[first] / Fraction(rate)])
        left[first] -= (until - at) * Fraction(rate)
        at = until

    last_loss = max((when for when, _ in runway_of(grants, rate).unspent), default=Fraction(0))
    assert runway_of(grants, rate).days == max(at, last_loss) if grants else at == 0
