"""Reversing an entry: linked to it, in part or wholly, never more than is left."""

import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone

from ledger import adjustment_errors, errors
from ledger.models import Entry, EntryReason
from ledger.providers.fake import APPROVE
from ledger.selectors import balance_of
from ledger.services.grants import settle_grants
from tests.factories import StaffFactory, UserFactory, customer_with, give
from tests.ledger.adjusting import approve, ask, limited, reverse
from tests.ledger.granting import end, granted, left
from tests.ledger.paying import bought
from tests.ledger.posting import post
from tests.ledger.subscribing import plan, subscribe
from tests.usage.metering import charge, price, refund, report, request_at
from usage.models import DailyUsage, Refund
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db
the_clock_is_moved = pytest.mark.django_db(transaction=True)  # by another connection


@pytest.fixture
def alice():
    return customer_with(100)


@pytest.fixture
def clerk():
    return limited(StaffFactory(), single=1000, daily=10_000)


@pytest.fixture(autouse=True)
def _all_promises_are_kept(db):
    yield
    assert reconcile(Scope())[1] == []


def charged(user, credits):
    return Entry.objects.get(pk=charge(user, credits=credits).entry_id)


def used_by(user):
    return sum(day.credits for day in DailyUsage.objects.filter(user=user))


def test_a_charge_is_given_back_in_part_and_lowers_its_statistics(alice, clerk):
    debit = charged(alice, 40)

    entry = reverse(debit, 15, by=clerk, note="It never worked").entry

    assert (entry.type, entry.reason, entry.amount, entry.reverses_id) == ("credit", "reversal", 15, debit.pk)
    assert balance_of(user_id=alice.pk).balance == 75
    assert used_by(alice) == 25
    assert Refund.objects.get(pk=entry.pk).charge_id == debit.pk


def test_parts_add_up_to_no_more_than_the_entry_refunds_included(alice, clerk):
    debit = charged(alice, 40)
    reverse(debit, 15, by=clerk)
    refund(debit.pk, 20)

    with pytest.raises(adjustment_errors.ReversalExceedsEntry, match=r"Only 5 credit\(s\) of this entry"):
        reverse(debit, "5.000001", by=clerk)
    reverse(debit, 5, by=clerk)

    assert used_by(alice) == 0
    with pytest.raises(errors.RefundExceedsCharge):
        refund(debit.pk, 1)


@pytest.mark.parametrize("amount", ["-1", "-40"])
def test_a_reversal_has_the_other_sign(alice, clerk, amount):
    debit = charged(alice, 40)

    with pytest.raises(adjustment_errors.ReversalExceedsEntry):
        reverse(debit, amount, by=clerk)


def test_a_reversal_waits_above_the_limit_and_is_posted_once_approved(alice):
    debit, clerk = charged(alice, 40), limited(StaffFactory(), single=10, daily=10)
    request = reverse(debit, 40, by=clerk).request
    assert (request.state, request.reason, used_by(alice)) == ("pending", "reversal", 40)

    entry = approve(request, by=StaffFactory()).entry

    assert (entry.reverses_id, entry.amount, used_by(alice)) == (debit.pk, 40, 0)


def test_two_that_wait_do_not_both_get_what_is_left(alice):
    debit, clerk, boss = charged(alice, 40), limited(StaffFactory(), single=10, daily=10), StaffFactory()
    first, second = (reverse(debit, 30, by=clerk).request for _ in range(2))
    approve(first, by=boss)

    with pytest.raises(adjustment_errors.ReversalExceedsEntry):
        approve(second, by=boss)


def test_credits_go_back_to_the_grant_that_the_charge_drew_on(clerk):
    bob = UserFactory()
    gift = granted(bob, 50, days=1)
    give(bob, 50)
    debit = charged(bob, 60)

    reverse(debit, 30, by=clerk)

    assert left(bob)[gift.pk] == 20  # of the 60 the last ten came from the other grant


@the_clock_is_moved
def test_credits_for_a_grant_that_has_ended_expire_at_once(clerk):
    bob = UserFactory()
    gift = granted(bob, 50, days=1)
    debit = charged(bob, 40)
    end(gift)

    reverse(debit, 30, by=clerk)

    assert balance_of(user_id=bob.pk).balance == 0


def test_an_adjustment_that_gave_credits_takes_them(alice, clerk):
    gave = ask(alice, 50, by=clerk).entry

    taken = reverse(gave, -20, by=clerk).entry

    assert (taken.type, taken.reason, taken.amount, taken.reverses_id) == ("adjustment", "correction", -20, gave.pk)
    with pytest.raises(adjustment_errors.ReversalExceedsEntry, match="Only 30 credit"):
        reverse(gave, -31, by=clerk)
    settle_grants(user_id=alice.pk)


def test_an_adjustment_that_took_credits_gives_them(alice, clerk):
    took = ask(alice, -50, by=clerk).entry

    reverse(took, 50, by=clerk)

    assert balance_of(user_id=alice.pk).balance == 100
    settle_grants(user_id=alice.pk)


@the_clock_is_moved
def test_of_a_grant_what_expired_is_not_left(clerk):
    bob = UserFactory()
    gift = granted(bob, 50, days=1)
    give(bob, 100)
    charged(bob, 10)
    end(gift)
    balance_of(user_id=bob.pk)

    with pytest.raises(adjustment_errors.ReversalExceedsEntry, match=r"Only 10 credit\(s\)"):
        reverse(gift, -11, by=clerk)
    reverse(gift, -10, by=clerk)


def test_more_than_the_customer_has_is_refused_by_the_balance(alice, clerk):
    gave = ask(alice, 50, by=clerk).entry
    charged(alice, 120)

    with pytest.raises(errors.InsufficientCredits):
        reverse(gave, -50, by=clerk)


def test_what_has_its_own_way_is_refused_with_that_way(alice, clerk):
    payment = bought(alice, APPROVE)
    subscribe(alice, plan(30))
    debit = charged(alice, 10)
    reversal = reverse(debit, 5, by=clerk).entry
    period = Entry.objects.of(alice.pk).filter(operation="subscription").get()

    for entry, amount, way in (
        (Entry.objects.get(pk=payment.entry_id), -1, "refund the payment"),
        (period, -1, "end their grant early"),
        (reversal, -1, "reverses another one itself"),
    ):
        with pytest.raises(adjustment_errors.EntryNotReversible, match=way):
            reverse(entry, amount, by=clerk)


@the_clock_is_moved
def test_an_expiry_is_not_reversed(clerk):
    bob = UserFactory()
    end(granted(bob, 50, days=1))
    post(bob, 1)
    expiry = Entry.objects.get(user=bob, reason=EntryReason.EXPIRY)

    with pytest.raises(adjustment_errors.EntryNotReversible, match="give new ones by an adjustment"):
        reverse(expiry, 50, by=clerk)


def test_a_debit_of_several_requests_is_given_back_by_an_adjustment_and_statistics_stay(clerk):
    bob = UserFactory()
    gift = granted(bob, 50)
    price("search", 4)
    report(bob, [request_at(timezone.now()) for _ in range(5)], charged=True)
    debit = Entry.objects.of(bob.pk).get(reason=EntryReason.USAGE)

    entry = reverse(debit, 12, by=clerk).entry

    assert (entry.type, entry.reason, entry.reverses_id, entry.amount) == ("adjustment", "correction", debit.pk, 12)
    assert (left(bob)[gift.pk], used_by(bob)) == (42, 20)
    with pytest.raises(adjustment_errors.ReversalExceedsEntry, match="Only 8 credit"):
        reverse(debit, 9, by=clerk)


def test_an_entry_of_another_customer_is_not_found(alice, clerk):
    debit = charged(alice, 10)

    with pytest.raises(adjustment_errors.AdjustmentNotFound):
        ask(customer_with(100), 5, by=clerk, reverses=debit.pk)


def test_a_charge_is_reversed_long_after_its_day(alice, clerk):
    debit = charged(alice, 10)

    entry = reverse(debit, Decimal(10), by=clerk).entry

    assert Refund.objects.get(pk=entry.pk).occurred_at == debit.created_at
    assert timezone.now() - entry.created_at < dt.timedelta(minutes=1)
