"""What rolls over when a period ends: as much as the cap allows, whatever was spent meanwhile."""

import random
from decimal import Decimal

import pytest

from ledger.models import Grant
from ledger.selectors import balance_of
from tests.factories import UserFactory, give
from tests.ledger.subscribing import let_time_pass, plan, subscribe
from tests.usage.metering import charge
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


def available(user):
    return balance_of(user_id=user.pk).available


def test_nothing_rolls_over_with_a_cap_of_zero(alice):
    subscribe(alice, plan(100, cap=0))

    let_time_pass(alice, months=1)

    assert available(alice) == 100


def test_everything_rolls_over_without_a_cap(alice):
    subscribe(alice, plan(100, cap=None))

    let_time_pass(alice, months=3)

    assert available(alice) == 400
    assert not Grant.objects.exclude(expires_at=None).exists()


@pytest.mark.parametrize(("spent", "after"), [(0, 130), (50, 130), (70, 130), (80, 120), (100, 100)])
def test_credits_left_roll_over_up_to_the_cap(alice, spent, after):
    subscribe(alice, plan(100, cap=30))
    if spent:
        charge(alice, credits=spent)

    let_time_pass(alice, months=1)

    assert available(alice) == after


def test_a_cap_of_several_periods_lets_credits_add_up_to_it(alice):
    subscribe(alice, plan(100, cap=250))

    had = []
    for _ in range(4):
        let_time_pass(alice, months=1)
        had.append(available(alice))

    assert had == [200, 300, 350, 350]


def test_credits_of_other_grants_do_not_count_against_the_cap(alice):
    give(alice, 1000)
    subscribe(alice, plan(100, cap=30))

    let_time_pass(alice, months=1)

    assert available(alice) == 1130


@pytest.mark.parametrize("cap", ["0", "12.5", "100", "130.000001", "200", "1000"])
@pytest.mark.parametrize("seed", range(2))
def test_every_renewal_rolls_over_the_lesser_of_rest_and_cap(alice, cap, seed):
    draw = random.Random(f"{cap} {seed}")
    subscribe(alice, plan(100, cap=cap))
    expected = Decimal(100)

    for month in range(8):
        for _ in range(draw.randrange(3)):
            spent = min(Decimal(draw.randrange(1, 90)), expected)
            if spent:
                charge(alice, credits=spent)
                expected -= spent
        let_time_pass(alice, months=1)
        expected = min(expected, Decimal(cap)) + 100
        assert available(alice) == expected, month

    assert reconcile(Scope())[1] == []
