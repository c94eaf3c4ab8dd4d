"""Holds expire exactly on time, whether or not a job has run: a hold of 0 seconds has expired already."""

import datetime as dt

import pytest
from django.db import connection

from ledger.errors import HoldExpired, InsufficientCredits
from ledger.models import Balance, Hold, HoldStatus
from ledger.models.balance import NEVER
from ledger.selectors import balance_of
from ledger.services.holds import release_hold
from tests.ledger.posting import hold, post, run_out

pytestmark = pytest.mark.django_db


def balance(user):
    return balance_of(user_id=user.pk)


def stored(user):
    return Balance.objects.get(user=user)


def database_time():
    with connection.cursor() as cursor:
        cursor.execute("SELECT clock_timestamp()")
        return cursor.fetchone()[0]


def test_a_hold_counts_exactly_until_its_expiry(alice):
    expires_at = hold(alice, 30, seconds=1).hold.expires_at

    readings = []
    while not readings or readings[-1][0] < expires_at + dt.timedelta(milliseconds=20):
        before = database_time()
        readings.append((before, balance(alice).reserved, database_time()))

    assert {reserved for _, reserved, after in readings if after < expires_at} == {30}
    assert {reserved for before, reserved, _ in readings if before >= expires_at} == {0}
    assert stored(alice).reserved == 30  # no job has run


def test_an_expired_hold_is_free_for_the_next_entry_at_once(alice):
    hold(alice, 100, seconds=0)

    entry = post(alice, -100).entry

    assert entry.balance_after == 0
    assert stored(alice).reserved == 0


def test_an_expired_hold_is_free_for_the_next_hold_at_once(alice):
    hold(alice, 100, seconds=0)

    hold(alice, 100)

    assert balance(alice).reserved == 100


def test_reading_settles_nothing_and_spending_settles_all_that_has_expired(alice):
    for _ in range(3):
        expired = hold(alice, 10, seconds=0).hold
    still_open = hold(alice, 20, seconds=600).hold
    assert balance(alice).reserved == 20

    post(alice, -80)

    gone = Hold.objects.filter(user=alice, status=HoldStatus.EXPIRED)
    assert gone.count() == 3
    assert gone.get(pk=expired.pk).settled_at == expired.expires_at
    assert stored(alice).reserved == 20
    assert stored(alice).next_expiry_at == still_open.expires_at


def test_next_expiry_is_never_when_no_hold_is_open(alice):
    hold(alice, 10, seconds=0)

    post(alice, 1)

    assert stored(alice).next_expiry_at == NEVER


@pytest.mark.django_db(transaction=True)
def test_a_hold_that_was_released_early_changes_nothing_at_its_expiry(alice):
    opened = hold(alice, 10).hold
    release_hold(hold_id=opened.pk, idempotency_key="r")
    run_out(opened)

    post(alice, -100)

    assert Hold.objects.get().status == HoldStatus.RELEASED
    assert stored(alice).reserved == 0


def test_more_than_the_freed_credits_is_refused_as_spent_not_held(alice):
    hold(alice, 60, seconds=0)

    with pytest.raises(InsufficientCredits) as refused:
        post(alice, -101)

    assert (refused.value.reason, refused.value.available, refused.value.reserved) == ("spent", 100, 0)
    assert refused.value.next_hold_expires_at is None


def test_a_refusal_beside_an_expired_hold_counts_only_open_ones(alice):
    hold(alice, 30, seconds=0)
    still_open = hold(alice, 50, seconds=600).hold

    with pytest.raises(InsufficientCredits) as refused:
        hold(alice, 51)

    assert (refused.value.reason, refused.value.available, refused.value.reserved) == ("held", 50, 50)
    assert refused.value.next_hold_expires_at == still_open.expires_at


def test_an_expired_hold_is_not_released(alice):
    opened = hold(alice, 30, seconds=0).hold

    with pytest.raises(HoldExpired):
        release_hold(hold_id=opened.pk, idempotency_key="r")

    assert balance(alice).reserved == 0


@pytest.mark.django_db(transaction=True)
def test_a_release_is_repeated_after_the_time_of_the_hold(alice):
    opened = hold(alice, 30).hold
    release_hold(hold_id=opened.pk, idempotency_key="r")
    run_out(opened)

    again, is_replay = release_hold(hold_id=opened.pk, idempotency_key="r")

    assert is_replay
    assert again.status == HoldStatus.RELEASED


def test_the_expiry_is_when_the_balance_was_last_updated(alice):
    opened = hold(alice, 30, seconds=0).hold

    seen_before_settling = balance(alice).last_updated
    hold(alice, 1)

    assert seen_before_settling >= opened.expires_at
    assert balance(alice).last_updated >= seen_before_settling


def test_opening_again_with_the_key_of_an_expired_hold_opens_no_second_one(alice):
    opened = hold(alice, 30, seconds=0, idempotency_key="k").hold

    again, is_replay = hold(alice, 30, seconds=0, idempotency_key="k")

    assert is_replay
    assert again.pk == opened.pk
    assert balance(alice).reserved == 0
