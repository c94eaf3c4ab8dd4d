"""Concurrent charges and imports; the ledger's own races are in tests/ledger/test_races.py."""

import datetime as dt
import itertools
from contextlib import suppress
from decimal import Decimal

import pytest
from django.utils import timezone

from ledger.errors import IdempotencyKeyReused, InsufficientCredits
from ledger.models import Entry, OperationKey
from ledger.selectors import balance_of
from ledger.services.holds import release_hold
from tests.accounts.races import at_once
from tests.factories import UserFactory, customer_with
from tests.ledger.posting import hold, post
from tests.ledger.races import before_it_commits
from tests.usage.metering import charge, price, report, request_at, rolled_up
from usage.models import RequestLog
from usage.services.imports.recording import Line, record_lines
from usage.services.reconciliation import Scope, rebuild_sums, reconcile

pytestmark = pytest.mark.django_db(transaction=True)
MARCH = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def assert_all_promises_are_kept():
    assert reconcile(Scope())[1] == []


def refused(outcomes):
    return [outcome for outcome in outcomes if isinstance(outcome, InsufficientCredits)]


def test_the_last_credit_is_charged_once():
    user = customer_with(1)
    price("search", 1)

    outcomes = at_once(16, lambda: charge(user))

    assert len(refused(outcomes)) == 15
    assert {(one.required, one.available, one.reason) for one in refused(outcomes)} == {(1, 0, "spent")}
    assert rolled_up(user) == [("search", 1, 0, 15, 1)]
    assert_all_promises_are_kept()


def test_one_key_is_charged_once():
    user = customer_with(100)
    price("search", 5)

    outcomes = at_once(16, lambda: charge(user, idempotency_key="k"))

    assert sorted(outcome.is_replay for outcome in outcomes) == [False] + [True] * 15
    assert len({(one.id, one.entry_id, one.request_id, one.balance_after) for one in outcomes}) == 1
    assert rolled_up(user) == [("search", 1, 0, 0, 5)]
    assert_all_promises_are_kept()


def test_a_twin_that_takes_the_last_credit_is_a_twin_and_no_rival():
    price("search", 100)
    for _ in range(5):
        user = customer_with(100)

        outcomes = at_once(8, lambda user=user: charge(user, idempotency_key="k"))

        assert [outcome.credits for outcome in outcomes] == [100] * 8
        assert rolled_up(user) == [("search", 1, 0, 0, 100)]


def test_a_free_charge_is_logged_once_under_its_key():
    user = UserFactory()
    price("search", 0)

    outcomes = at_once(16, lambda: charge(user, idempotency_key="k"))

    assert sorted(outcome.is_replay for outcome in outcomes) == [False] + [True] * 15
    assert len({(one.id, one.request_id) for one in outcomes}) == 1
    assert RequestLog.objects.count() == OperationKey.objects.count() == 1
    assert rolled_up(user) == [("search", 1, 0, 0, 0)]


def test_two_payloads_under_one_key_are_charged_once():
    user = customer_with(100)
    asked = itertools.cycle([Decimal(1), Decimal(2)])

    outcomes = at_once(8, lambda: charge(user, credits=next(asked), idempotency_key="k"))

    assert sum(isinstance(outcome, IdempotencyKeyReused) for outcome in outcomes) == 4
    assert Entry.objects.filter(reason="usage").count() == 1


def test_a_new_customer_is_refused_by_all_at_once():
    user = UserFactory()
    price("search", 1)

    outcomes = at_once(8, lambda: charge(user))

    assert len(refused(outcomes)) == 8
    assert rolled_up(user) == [("search", 0, 0, 8, 0)]
    assert_all_promises_are_kept()


def test_every_charge_of_many_is_counted():
    user = customer_with(1000)
    price("search", 1)

    at_once(8, lambda: [charge(user) for _ in range(10)])

    assert rolled_up(user) == [("search", 80, 0, 0, 80)]
    assert sorted(Entry.objects.of(user.pk).values_list("seq", flat=True)) == list(range(1, 82))
    assert_all_promises_are_kept()


def test_one_batch_that_is_reported_many_times_at_once_is_recorded_once():
    user = customer_with(100)
    price("search", 1)
    lines = [Line(bytes([n]) * 32, request_at(MARCH)) for n in range(20)]

    outcomes = at_once(8, lambda: record_lines(user_id=user.pk, source="s", lines=lines, charge=True))

    assert sorted((one.accepted, one.duplicates) for one in outcomes) == [(0, 20)] * 7 + [(20, 0)]
    assert balance_of(user_id=user.pk).balance == 80
    assert_all_promises_are_kept()


def test_batches_that_overlap_record_each_line_once():
    user = customer_with(1000)
    price("search", 1)
    lines = [Line(bytes([n]) * 32, request_at(MARCH)) for n in range(40)]
    starts = itertools.count(0, 5)

    def record_some():
        first = next(starts)
        some = lines[first : first + 10]
        return record_lines(user_id=user.pk, source="s", lines=some[::-1], charge=True)

    outcomes = at_once(7, record_some)

    assert sum(one.accepted for one in outcomes) == 40
    assert balance_of(user_id=user.pk).balance == 960
    assert_all_promises_are_kept()


def test_batches_share_the_last_credits():
    user = customer_with(22)
    price("search", 1)

    outcomes = at_once(8, lambda: report(user, [request_at(MARCH)] * 5, charged=True))

    assert sorted(one.credits for one in outcomes) == [0, 0, 0, 2, 5, 5, 5, 5]
    assert sum(one.unpaid for one in outcomes) == 18
    assert_all_promises_are_kept()


def test_a_request_that_is_being_counted_is_not_lost_to_rebuilt_sums():
    user = customer_with(10)
    price("search", 1)
    today = timezone.now().date()
    charge(user)

    _, changed = before_it_commits(
        lambda: charge(user),
        lambda: rebuild_sums(user_id=user.pk, first_day=today, day_after=today + dt.timedelta(days=2)),
    )

    assert changed == 0
    assert rolled_up(user) == [("search", 2, 0, 0, 2)]


@pytest.mark.parametrize("credits", [5, 100], ids=["all there is", "some of it"])
def test_a_charge_before_its_twin_has_committed_waits_and_returns_the_same(credits):
    user = customer_with(credits)

    made, answered = before_it_commits(
        lambda: charge(user, credits=Decimal(5), idempotency_key="k"),
        lambda: charge(user, credits=Decimal(5), idempotency_key="k"),
    )

    assert (answered.id, answered.entry_id, answered.request_id) == (made.id, made.entry_id, made.request_id)
    assert (made.is_replay, answered.is_replay) == (False, True)


def test_a_batch_that_comes_before_a_charge_has_committed_pays_from_what_is_left():
    user = customer_with(10)
    price("search", 1)

    _, recorded = before_it_commits(
        lambda: charge(user, credits=Decimal(8)),
        lambda: report(user, [request_at(MARCH)] * 5, charged=True),
    )

    assert (recorded.credits, recorded.unpaid) == (2, 3)
    assert_all_promises_are_kept()


def test_batches_and_charges_share_the_last_credits():
    user = customer_with(20)
    price("search", 1)
    turns = itertools.count()

    def spend():
        if next(turns) % 2:
            return report(user, [request_at(MARCH)] * 10, charged=True)
        return [charge(user) for _ in range(5)]

    at_once(8, spend)

    assert balance_of(user_id=user.pk).balance == 0
    assert sum(logged.credits for logged in RequestLog.objects.all()) == 20
    assert_all_promises_are_kept()


def test_charges_adjustments_holds_batches_and_mending_at_once_keep_every_promise():
    user = customer_with(50)
    price("search", 1)
    price("free", 0)
    today = timezone.now().date()
    turns = itertools.count()
    kinds_of_work = [
        lambda turn: charge(user),
        lambda turn: charge(user, "free"),
        lambda turn: post(user, -2),
        lambda turn: hold(user, 2, seconds=turn % 2),
        lambda turn: release_hold(hold_id=hold(user, 5).hold.pk, idempotency_key=str(turn)),
        lambda turn: report(user, [request_at(timezone.now())] * 3, charged=True),
        lambda turn: rebuild_sums(user_id=None, first_day=today, day_after=today + dt.timedelta(days=2)),
    ]

    def work():
        for turn in itertools.islice(turns, 6):
            with suppress(InsufficientCredits):
                kinds_of_work[turn % len(kinds_of_work)](turn)

    outcomes = at_once(8, work)

    assert outcomes == [None] * 8
    assert_all_promises_are_kept()
