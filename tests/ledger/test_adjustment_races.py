"""Limits and decisions of adjustments, with sixteen callers at once."""

import itertools
from decimal import Decimal

import pytest

from ledger.adjustment_errors import AdjustmentDecided, AdjustmentRefusal
from ledger.errors import InsufficientCredits
from ledger.models import AdjustmentDay, AdjustmentRequest, Entry
from ledger.selectors import balance_of
from tests.accounts.races import at_once
from tests.factories import StaffFactory, customer_with
from tests.ledger.adjusting import approve, ask, limited, reject, reverse, withdraw
from tests.usage.metering import charge
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def clerk():
    return limited(StaffFactory(), single=50, daily=100)


def adjusted(*users):
    return sum(abs(entry.amount) for entry in Entry.objects.filter(user__in=users, operation="adjustment"))


def test_the_limit_of_a_day_holds_for_sixteen_requests_on_one_account(clerk):
    alice = customer_with(1000)
    amounts = itertools.cycle(["30", "-30.0", "30.000000"])

    outcomes = at_once(16, lambda: ask(alice, next(amounts), by=clerk))

    assert sum(outcome.entry is not None for outcome in outcomes) == 3
    assert adjusted(alice) == 90
    assert AdjustmentDay.objects.get().credits == 90
    assert AdjustmentRequest.objects.filter(state="pending", second_person_because="daily").count() == 13
    assert reconcile(Scope())[1] == []


def test_the_limit_of_a_day_holds_for_sixteen_requests_on_as_many_accounts(clerk):
    people = [customer_with(100) for _ in range(16)]
    each = iter(people)

    outcomes = at_once(16, lambda: ask(next(each), 30, by=clerk))

    assert sum(outcome.entry is not None for outcome in outcomes) == 3
    assert adjusted(*people) == 90


def test_one_key_makes_one_request(clerk):
    alice = customer_with(100)

    outcomes = at_once(16, lambda: ask(alice, 30, by=clerk, idempotency_key="double click"))

    assert len({outcome.request.pk for outcome in outcomes}) == 1
    assert sorted(outcome.is_replay for outcome in outcomes) == [False] + [True] * 15
    assert adjusted(alice) == 30


def test_a_request_is_decided_once_by_sixteen_people(clerk):
    alice = customer_with(100)
    request = ask(alice, 60, by=clerk).request
    people = [StaffFactory() for _ in range(15)]
    calls = iter([
        lambda: withdraw(request, by=clerk),
        *(lambda person=person, decide=decide: decide(request, by=person)
          for person, decide in zip(people, itertools.cycle([approve, reject]), strict=False)),
    ])  # fmt: skip

    outcomes = at_once(16, lambda: next(calls)())

    assert sum(isinstance(outcome, AdjustmentDecided) for outcome in outcomes) == 15
    request.refresh_from_db()
    assert adjusted(alice) == (60 if request.state == "approved" else 0)
    assert reconcile(Scope())[1] == []


def test_one_approval_sent_sixteen_times_posts_once(clerk):
    alice, boss = customer_with(100), StaffFactory()
    request = ask(alice, 60, by=clerk).request

    outcomes = at_once(16, lambda: approve(request, by=boss))

    assert sorted(outcome.is_replay for outcome in outcomes) == [False] + [True] * 15
    assert balance_of(user_id=alice.pk).balance == 160


def test_approvals_beside_charges_take_no_more_than_is_there(clerk):
    alice, boss = customer_with(100), StaffFactory()
    requests = [ask(alice, -60, by=clerk).request for _ in range(8)]
    calls = iter([
        *(lambda request=request: approve(request, by=boss) for request in requests),
        *(lambda: charge(alice, credits=5) for _ in range(8)),
    ])  # fmt: skip

    outcomes = at_once(16, lambda: next(calls)())

    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert {type(each) for each in refused} <= {InsufficientCredits}
    assert balance_of(user_id=alice.pk).available >= 0
    assert AdjustmentRequest.objects.filter(state="approved").count() == 1
    assert reconcile(Scope())[1] == []


def test_no_more_of_an_entry_is_reversed_than_is_left(clerk):
    alice = customer_with(100)
    entry = Entry.objects.get(pk=charge(alice, credits=40).entry_id)
    big = limited(StaffFactory(), single=1000, daily=1000)

    outcomes = at_once(16, lambda: reverse(entry, 15, by=big))

    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 2
    assert balance_of(user_id=alice.pk).balance == Decimal(90)
    assert reconcile(Scope())[1] == []
    assert not [outcome for outcome in outcomes if isinstance(outcome, AdjustmentRefusal)]
