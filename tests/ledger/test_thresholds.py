"""Thresholds: a move that takes available below one records a crossing, once until available is back."""

import datetime as dt
from decimal import Decimal

import pytest

from ledger.errors import UnknownCustomer
from ledger.models import Balance, Threshold
from ledger.services.thresholds import Crossing, crossings, rearm, watch_available
from tests.accounts.races import at_once
from tests.factories import UserFactory, customer_with
from tests.ledger.posting import hold, post
from tests.ledger.races import before_it_commits

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice(db):
    return customer_with(100)


def watch(user, below, name="alert-1"):
    return watch_available(user_id=user.pk, name=name, below=None if below is None else Decimal(below))


def crossed(user):
    return set(Threshold.objects.filter(user=user, crossed_at__isnull=False).values_list("name", flat=True))


def watched(user):
    return Balance.objects.get(pk=user.pk).watch_below


def test_falling_below_is_recorded_and_landing_exactly_on_it_is_not(alice):
    watch(alice, 50)

    post(alice, -50)
    on_it = crossed(alice)
    post(alice, "-0.000001")

    assert on_it == set()
    assert crossed(alice) == {"alert-1"}


def test_reserved_credits_count_as_spent(alice):
    watch(alice, 50)

    hold(alice, 60)

    assert crossed(alice) == {"alert-1"}


def test_a_move_may_cross_several_and_leaves_the_lower_ones_armed(alice):
    for below, name in ((80, "a"), (60, "b"), (20, "c")):
        watch(alice, below, name)

    post(alice, -70)

    assert crossed(alice) == {"a", "b"}
    assert watched(alice) == 20


def test_a_crossed_threshold_is_not_recorded_again_until_it_is_rearmed(alice):
    watch(alice, 50)
    post(alice, -60)
    (first,) = crossings(prefix="alert-", most=10)

    post(alice, 20)
    post(alice, -20)

    assert crossings(prefix="alert-", most=10) == [first]


def test_rearming_returns_each_recovery_once_and_arms_it(alice):
    watch(alice, 50)
    post(alice, -60)
    (crossing,) = crossings(prefix="alert-", most=10)
    too_early = rearm(user_id=alice.pk)

    post(alice, 10)
    back, again = rearm(user_id=alice.pk), rearm(user_id=alice.pk)

    assert too_early == again == []
    assert back == [crossing] == [Crossing(alice.pk, "alert-1", Decimal(50), crossing.crossed_at)]
    assert crossed(alice) == set()
    assert watched(alice) == 50


def test_a_threshold_above_available_is_crossed_at_once(alice):
    since = watch(alice, "100.000001")

    assert isinstance(since, dt.datetime)
    assert crossed(alice) == {"alert-1"}
    assert watched(alice) is None


def test_the_same_amount_again_changes_nothing_and_another_begins_anew(alice):
    first = watch(alice, 150)

    same, other = watch(alice, 150), watch(alice, 90)

    assert same == first
    assert other is None
    assert crossed(alice) == set()
    assert watched(alice) == 90


def test_ending_a_threshold_watches_the_next_lower_one_or_none(alice):
    watch(alice, 50, "a")
    watch(alice, 20, "b")

    watch(alice, None, "a")
    lower = watched(alice)
    watch(alice, None, "b")

    assert lower == 20
    assert watched(alice) is None
    assert not Threshold.objects.filter(user=alice).exists()


def test_an_expired_hold_does_not_count(alice):
    hold(alice, 60, seconds=0)

    since = watch(alice, 50)

    assert since is None


def test_crossings_are_listed_by_name_and_the_first_crossed_first(alice):
    bob = customer_with(100)
    watch(alice, 50, "auto_reload")
    watch(alice, 50, "alert-7")
    watch(bob, 50, "auto_reload")

    post(bob, -60)
    post(alice, -60)

    assert [one.user_id for one in crossings(prefix="auto_reload", most=10)] == [bob.pk, alice.pk]
    assert [one.user_id for one in crossings(prefix="auto_reload", most=1)] == [bob.pk]


def test_a_customer_without_any_entry_is_watched_too(db):
    carol = UserFactory()

    assert watch(carol, 1) is not None


def test_watching_an_unknown_customer_is_refused(db):
    with pytest.raises(UnknownCustomer):
        watch_available(user_id=0, name="a", below=Decimal(1))


@pytest.mark.django_db(transaction=True)
def test_every_crossing_of_many_moves_at_once_is_recorded():
    alice = customer_with(100)
    watch(alice, 50)

    at_once(8, lambda: post(alice, -10))

    assert crossed(alice) == {"alert-1"}


@pytest.mark.django_db(transaction=True)
def test_watching_waits_for_a_move_that_has_not_committed():
    alice = customer_with(100)

    _, since = before_it_commits(lambda: post(alice, -60), lambda: watch(alice, 50))

    assert since is not None


@pytest.mark.django_db(transaction=True)
def test_only_one_of_many_rearmings_at_once_returns_the_recovery():
    alice = customer_with(100)
    watch(alice, 50)
    post(alice, -60)
    post(alice, 60)

    answers = at_once(6, lambda: rearm(user_id=alice.pk))

    assert sorted(map(len, answers)) == [0, 0, 0, 0, 0, 1]
