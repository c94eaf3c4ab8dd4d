"""Concurrent calls: each test fails when the lock or the condition that it is about is removed."""

import itertools
from decimal import Decimal

import pytest

from ledger.errors import HoldExpired, HoldSettled, InsufficientCredits
from ledger.models import Balance, Entry, Hold, HoldStatus
from ledger.selectors import balance_of
from ledger.services.holds import release_hold
from tests.accounts.races import at_once
from tests.factories import UserFactory, customer_with
from tests.ledger.posting import hold, post
from tests.ledger.races import before_it_commits
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


def of_kind(kind, outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, kind)]


def assert_all_promises_are_kept():
    assert reconcile(Scope())[1] == []


def test_the_last_credit_is_taken_once():
    user = customer_with(1)

    outcomes = at_once(16, lambda: post(user, -1))

    refusals = of_kind(InsufficientCredits, outcomes)
    assert len(refusals) == 15
    assert {(refusal.required, refusal.available, refusal.reason) for refusal in refusals} == {(1, 0, "spent")}
    assert balance_of(user_id=user.pk).balance == 0
    assert_all_promises_are_kept()


def test_a_key_makes_one_entry():
    user = customer_with(100)

    outcomes = at_once(16, lambda: post(user, 5, idempotency_key="k"))

    assert sorted(is_replay for _, is_replay in outcomes) == [False] + [True] * 15
    assert len({entry.pk for entry, _ in outcomes}) == 1
    assert balance_of(user_id=user.pk).balance == 105
    assert_all_promises_are_kept()


def test_a_repeat_of_the_call_that_takes_the_last_credit_is_not_refused():
    for _ in range(5):
        user = customer_with(100)

        outcomes = at_once(8, lambda user=user: post(user, -100, idempotency_key="k"))

        assert [outcome.entry.amount for outcome in outcomes] == [-100] * 8
        assert sum(not is_replay for _, is_replay in outcomes) == 1


@pytest.mark.parametrize("credits", [100, 1000], ids=["all there is", "some of it"])
@pytest.mark.parametrize(
    "move",
    [
        lambda user: post(user, -100, idempotency_key="k"),
        lambda user: hold(user, 100, idempotency_key="k"),
    ],
    ids=["entry", "hold"],
)
def test_a_repeat_waits_for_an_uncommitted_call_and_returns_the_same(credits, move):
    user = customer_with(credits)

    (made, is_replay), (answered, is_answer_replay) = before_it_commits(lambda: move(user), lambda: move(user))

    assert answered == made
    assert (is_replay, is_answer_replay) == (False, True)
    assert balance_of(user_id=user.pk).available == credits - 100
    assert_all_promises_are_kept()


def test_many_first_entries_at_once_create_one_balance():
    user = UserFactory()

    outcomes = at_once(8, lambda: post(user, 2))

    assert sorted(entry.seq for entry, _ in outcomes) == list(range(1, 9))
    assert sorted(entry.balance_after for entry, _ in outcomes) == list(range(2, 17, 2))
    assert_all_promises_are_kept()


def test_a_key_is_used_once_even_on_a_new_balance():
    user = UserFactory()

    outcomes = at_once(8, lambda: post(user, 2, idempotency_key="k"))

    assert sum(not is_replay for _, is_replay in outcomes) == 1
    assert Entry.objects.of(user.pk).get().balance_after == 2


def test_the_last_credits_are_held_once():
    user = customer_with(10)

    outcomes = at_once(8, lambda: hold(user, 10))

    refusals = of_kind(InsufficientCredits, outcomes)
    assert len(refusals) == 7
    assert {refusal.reason for refusal in refusals} == {"held"}
    assert balance_of(user_id=user.pk).reserved == 10
    assert_all_promises_are_kept()


def test_a_key_opens_one_hold():
    user = customer_with(10)

    outcomes = at_once(8, lambda: hold(user, 10, idempotency_key="k"))

    assert sorted(is_replay for _, is_replay in outcomes) == [False] + [True] * 7
    assert Hold.objects.count() == 1
    assert_all_promises_are_kept()


def test_a_hold_is_released_once():
    user = customer_with(10)
    hold_id = hold(user, 10).hold.pk
    keys = map(str, itertools.count())

    outcomes = at_once(8, lambda: release_hold(hold_id=hold_id, idempotency_key=next(keys)))

    assert len(of_kind(HoldSettled, outcomes)) == 7
    assert balance_of(user_id=user.pk).available == 10
    assert Balance.objects.get().reserved == 0
    assert_all_promises_are_kept()


def test_a_key_releases_a_hold_once_and_every_caller_gets_the_result():
    user = customer_with(10)
    hold_id = hold(user, 10).hold.pk

    outcomes = at_once(8, lambda: release_hold(hold_id=hold_id, idempotency_key="k"))

    assert sorted(is_replay for _, is_replay in outcomes) == [False] + [True] * 7
    assert_all_promises_are_kept()


def test_release_or_expiry_wins_and_the_credits_come_back_once():
    user = customer_with(100)
    opened = [hold(user, 10, seconds=1).hold for _ in range(8)]
    pending = iter(opened)
    keys = map(str, itertools.count())

    def release_one_as_it_expires():
        mine = next(pending)
        while balance_of(user_id=user.pk).reserved > 40:  # until half of them have expired
            pass
        return release_hold(hold_id=mine.pk, idempotency_key=next(keys)).hold

    outcomes = at_once(8, release_one_as_it_expires)

    released = of_kind(Hold, outcomes)
    assert len(released) + len(of_kind(HoldExpired, outcomes)) == 8
    assert {one.status for one in released} <= {HoldStatus.RELEASED}
    assert Balance.objects.get().reserved == sum(one.credits for one in Hold.objects.filter(status=HoldStatus.OPEN))
    assert balance_of(user_id=user.pk).available == 100
    assert_all_promises_are_kept()


def test_freed_credits_are_spent_once_by_those_who_wait_for_them():
    user = customer_with(10)
    hold(user, 10, seconds=0)

    outcomes = at_once(8, lambda: post(user, -10))

    assert len(of_kind(InsufficientCredits, outcomes)) == 7
    assert Balance.objects.get().balance == 0
    assert_all_promises_are_kept()


def test_entries_and_holds_of_many_kinds_at_once_pass_every_check():
    user = customer_with(50)
    turns = itertools.count()

    def work():
        done = Decimal(0)
        for _ in range(6):
            turn = next(turns)
            try:
                match turn % 4:
                    case 0:
                        done += post(user, "1.5").entry.amount
                    case 1:
                        done += post(user, -4).entry.amount
                    case 2:
                        release_hold(hold_id=hold(user, 5).hold.pk, idempotency_key=str(turn))
                    case 3:
                        hold(user, 3, seconds=turn % 2)
            except InsufficientCredits:
                pass
        return done

    moved = at_once(8, work)

    assert balance_of(user_id=user.pk).balance == 50 + sum(moved)
    assert_all_promises_are_kept()
