import datetime as dt
from decimal import Decimal

import pytest
from django.db import DataError, IntegrityError, transaction

from ledger.errors import (
    HoldCaptured,
    HoldNotFound,
    HoldReleased,
    IdempotencyKeyReused,
    InsufficientCredits,
    UnknownCustomer,
)
from ledger.models import Entry, Hold, HoldStatus
from ledger.selectors import balance_of
from ledger.services.holds import release_hold
from tests.factories import customer_with, give
from tests.ledger.posting import allow_overdraft, freeze, hold, post
from tests.ledger.tampering import tamper

pytestmark = pytest.mark.django_db


def balance(user):
    return balance_of(user_id=user.pk)


def test_a_hold_sets_credits_aside_and_makes_no_entry(alice):
    opened, is_replay = hold(alice, "30.5", seconds=60, reference="job 1", metadata={"gpu": 2})

    assert not is_replay
    assert (opened.status, opened.credits, opened.captured) == (HoldStatus.OPEN, Decimal("30.5"), 0)
    assert (opened.reference, opened.metadata, opened.settled_at) == ("job 1", {"gpu": 2}, None)
    assert opened.expires_at - opened.created_at == dt.timedelta(seconds=60)
    now = balance(alice)
    assert (now.balance, now.reserved, now.available) == (100, Decimal("30.5"), Decimal("69.5"))
    assert Entry.objects.of(alice.pk).count() == 1


def test_holds_add_up_to_the_available_credits_and_no_further(alice):
    hold(alice, 60)
    hold(alice, 40)

    with pytest.raises(InsufficientCredits) as refused:
        hold(alice, "0.000001")

    assert (refused.value.available, refused.value.reserved, refused.value.reason) == (0, 100, "held")
    assert balance(alice).reserved == 100


def test_a_hold_beyond_the_balance_is_refused_as_spent(alice):
    hold(alice, 60)

    with pytest.raises(InsufficientCredits) as refused:
        hold(alice, "100.5")

    assert (refused.value.required, refused.value.available) == (Decimal("100.5"), 40)
    assert refused.value.reason == "spent"


def test_the_refusal_says_when_the_next_hold_expires(alice):
    hold(alice, 50, seconds=900)
    soonest = hold(alice, 50, seconds=60).hold

    with pytest.raises(InsufficientCredits) as refused:
        hold(alice, 1)

    assert refused.value.next_hold_expires_at == soonest.expires_at


def test_held_credits_cannot_be_spent_otherwise(alice):
    hold(alice, 60)

    with pytest.raises(InsufficientCredits):
        post(alice, -41)

    assert post(alice, -40).entry.balance_after == 60


@pytest.mark.parametrize("credits", ["-1", "NaN"])
def test_a_hold_of_less_than_nothing_is_refused_by_the_database(alice, credits):
    with pytest.raises((IntegrityError, DataError)), transaction.atomic():
        hold(alice, credits)

    assert balance(alice).reserved == 0


def test_a_hold_for_an_unknown_customer_is_refused(db):
    with pytest.raises(UnknownCustomer):
        hold(987_654_321, 1)


def test_a_customer_without_credits_has_nothing_to_hold(bob):
    with pytest.raises(InsufficientCredits) as refused:
        hold(bob, 1)

    assert (refused.value.available, refused.value.reason) == (0, "spent")


def test_repeating_the_opening_returns_the_original_hold(alice):
    first = hold(alice, 30, idempotency_key="k").hold

    again, is_replay = hold(alice, "30.000", idempotency_key="k")

    assert is_replay
    assert again == first
    assert balance(alice).reserved == 30


@pytest.mark.parametrize(
    "change", [{"credits": 31}, {"seconds": 61}, {"reference": "r"}, {"metadata": {"a": 1}}], ids=", ".join
)
def test_another_hold_under_the_key_is_refused(alice, change):
    hold(alice, 30, seconds=60, idempotency_key="k")

    with pytest.raises(IdempotencyKeyReused):
        hold(alice, **{"credits": 30, "seconds": 60} | change, idempotency_key="k")

    assert balance(alice).reserved == 30


def test_holds_of_two_customers_and_entries_have_keys_of_their_own(alice, bob):
    give(bob, 10)
    hold(alice, 5, idempotency_key="k")

    assert not hold(bob, 5, idempotency_key="k").is_replay
    assert not post(alice, 5, idempotency_key="k").is_replay


def test_a_repeated_opening_returns_its_hold_even_when_nothing_is_left(alice):
    first = hold(alice, 100, idempotency_key="k").hold

    assert hold(alice, 100, idempotency_key="k").hold == first


def test_a_refused_opening_is_not_remembered(bob):
    with pytest.raises(InsufficientCredits):
        hold(bob, 5, idempotency_key="k")
    give(bob, 5)

    assert not hold(bob, 5, idempotency_key="k").is_replay


def test_releasing_gives_back_what_was_held(alice):
    opened = hold(alice, 30).hold

    released, is_replay = release_hold(hold_id=opened.pk, idempotency_key="r")

    assert not is_replay
    assert released.status == HoldStatus.RELEASED
    assert opened.created_at <= released.settled_at
    assert (balance(alice).reserved, balance(alice).available) == (0, 100)
    assert Entry.objects.of(alice.pk).count() == 1


def test_repeating_a_release_with_its_key_returns_its_result(alice):
    opened = hold(alice, 30).hold
    first = release_hold(hold_id=opened.pk, idempotency_key="r").hold

    again, is_replay = release_hold(hold_id=opened.pk, idempotency_key="r")

    assert is_replay
    assert (again.status, again.settled_at) == (HoldStatus.RELEASED, first.settled_at)
    assert balance(alice).available == 100


def test_releasing_under_another_key_is_refused(alice):
    opened = hold(alice, 30).hold
    release_hold(hold_id=opened.pk, idempotency_key="r")

    with pytest.raises(HoldReleased):
        release_hold(hold_id=opened.pk, idempotency_key="other")

    assert balance(alice).available == 100


def test_a_key_releases_only_one_hold(alice):
    first, second = hold(alice, 30).hold, hold(alice, 20).hold
    release_hold(hold_id=first.pk, idempotency_key="r")

    with pytest.raises(IdempotencyKeyReused):
        release_hold(hold_id=second.pk, idempotency_key="r")

    assert balance(alice).reserved == 20


def test_customers_do_not_share_their_keys_of_releases(alice, bob):
    give(bob, 10)
    first, second = hold(alice, 5).hold, hold(bob, 5).hold
    release_hold(hold_id=first.pk, idempotency_key="r")

    assert not release_hold(hold_id=second.pk, idempotency_key="r").is_replay


def test_releasing_an_unknown_hold_is_refused(db):
    with pytest.raises(HoldNotFound):
        release_hold(hold_id=987_654_321, idempotency_key="r")


@pytest.mark.django_db(transaction=True)
def test_a_captured_hold_is_not_released():
    alice = customer_with(100)
    opened = hold(alice, 30).hold
    tamper("UPDATE ledger_hold SET status = 'captured', captured = 30, settled_at = now() WHERE id = %s", opened.pk)

    with pytest.raises(HoldCaptured):
        release_hold(hold_id=opened.pk, idempotency_key="r")


@pytest.mark.django_db(transaction=True)
def test_releasing_a_partly_captured_hold_gives_back_the_rest():
    alice = customer_with(100)
    opened = hold(alice, 30).hold
    tamper("UPDATE ledger_hold SET captured = 10 WHERE id = %s", opened.pk)
    tamper("UPDATE ledger_balance SET reserved = 20 WHERE user_id = %s", alice.pk)

    release_hold(hold_id=opened.pk, idempotency_key="r")

    assert balance(alice).reserved == 0


def test_a_frozen_balance_accepts_credits_and_refuses_debits():
    alice = customer_with(100)
    freeze(alice)

    for refused_call in (lambda: hold(alice, 1), lambda: post(alice, -1)):
        with pytest.raises(InsufficientCredits) as refused:
            refused_call()
        assert (refused.value.reason, refused.value.available) == ("frozen", 100)

    assert post(alice, 1).entry.balance_after == 101


def test_an_overdraft_can_be_held_and_spent_to_its_limit():
    alice = customer_with(100)
    allow_overdraft(alice, 50)
    hold(alice, 120)

    entry = post(alice, -30).entry
    with pytest.raises(InsufficientCredits) as refused:
        post(alice, "-0.000001")

    assert entry.balance_after == 70
    assert (refused.value.available, refused.value.reason) == (-50, "held")
    assert "You have 0 credit(s) remaining" in str(refused.value)


def test_holds_are_counted_once_each(alice):
    holds = [hold(alice, credits).hold for credits in (1, 2, 3)]
    release_hold(hold_id=holds[1].pk, idempotency_key="r")

    statuses = Hold.objects.filter(user=alice).order_by("pk").values_list("status", flat=True)

    assert list(statuses) == ["open", "released", "open"]
    assert balance(alice).reserved == 4
