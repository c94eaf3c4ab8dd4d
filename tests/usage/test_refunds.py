"""Refunds of charges: to the customer, and in the statistics of the charge's own day."""

import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone

from ledger.errors import BalanceLimitExceeded, ChargeNotFound, IdempotencyKeyReused, RefundExceedsCharge
from ledger.models import EntryReason, EntryType
from ledger.selectors import balance_of
from tests.account import requested
from tests.factories import UserFactory, customer_with, give
from tests.usage.metering import captured, charge, held, price, refund, rolled_up
from usage.models import RequestLog
from usage.selectors import usage_of
from usage.services.reconciliation import rebuild_sums

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("every_promise_is_kept")]


@pytest.fixture
def alice():
    price("search", 10)
    return customer_with(100)


def test_a_whole_charge_is_refunded_by_an_entry_that_is_linked_to_it(alice):
    paid = charge(alice, reference="job 7")

    entry = refund(paid.id).entry

    assert (entry.type, entry.reason, entry.amount) == (EntryType.CREDIT, EntryReason.REFUND, 10)
    assert (entry.reverses_id, entry.reference, entry.description) == (paid.entry_id, "job 7", "it did not work")
    assert balance_of(user_id=alice.pk).balance == 100
    assert balance_of(user_id=alice.pk).granted_total == 100
    assert rolled_up(alice) == [("search", 1, 0, 0, 0)]


def test_parts_add_up_to_no_more_than_the_charge(alice):
    paid = charge(alice)
    refund(paid.id, "2.5")
    refund(paid.id, 7)

    with pytest.raises(RefundExceedsCharge, match=r"0\.5 credit"):
        refund(paid.id, "0.500001")

    assert refund(paid.id).entry.amount == Decimal("0.5")
    with pytest.raises(RefundExceedsCharge):
        refund(paid.id)


def test_a_capture_is_refunded_too(alice):
    done = captured(held(alice).hold)

    assert refund(done.entry_id, 4).entry.reverses_id == done.entry_id
    assert rolled_up(alice) == [("search", 1, 0, 0, 6)]


def test_a_refund_lowers_the_window_of_its_request_to_the_second(alice):
    paid = charge(alice)
    at = RequestLog.objects.get(pk=paid.id).occurred_at
    refund(paid.id, 4)
    second = dt.timedelta(seconds=1)

    windows = [
        usage_of(user_id=alice.pk, start=start, end=end, now=timezone.now()).credits
        for start, end in ((at, at + second), (at - second, at), (at - 30 * second, at + 30 * second))
    ]

    assert windows == [6, 0, 6]


def test_rebuilt_sums_include_refunds(alice):
    refund(charge(alice).id, 4)
    today = timezone.now().date()

    assert rebuild_sums(user_id=None, first_day=today, day_after=today + dt.timedelta(days=1)) == 0
    assert rolled_up(alice) == [("search", 1, 0, 0, 6)]


def test_a_charge_of_nothing_has_nothing_to_refund(alice):
    price("free", 0)

    with pytest.raises(RefundExceedsCharge):
        refund(charge(alice, "free").id)


def test_an_unknown_charge_is_not_found(alice):
    grant = give(alice, 5)
    requested(alice, [(timezone.now(), "search", 200)])
    reported = RequestLog.objects.get()

    for nothing in (grant.pk, reported.pk, reported.entry_id, 987_654_321):
        with pytest.raises(ChargeNotFound):
            refund(nothing)


def test_another_customers_charge_is_not_found(alice):
    paid = charge(alice)

    with pytest.raises(ChargeNotFound):
        refund(paid.id, user_id=UserFactory().pk)

    assert refund(paid.id, user_id=alice.pk).entry.amount == 10


def test_a_refund_is_replayed_under_its_key(alice):
    paid = charge(alice)
    first = refund(paid.id, 4, idempotency_key="k")

    again = refund(paid.id, 4, idempotency_key="k")

    assert (again.entry.pk, again.is_replay) == (first.entry.pk, True)
    with pytest.raises(IdempotencyKeyReused):
        refund(paid.id, 5, idempotency_key="k")


def test_a_callers_own_charge_id_in_the_metadata_changes_nothing(alice):
    assert refund(charge(alice, metadata={"charge_id": "x"}).id).entry.amount == 10


def test_a_balance_that_would_leave_its_bounds_is_refused(alice):
    paid = charge(alice)
    give(alice, Decimal("999999909.999999"))

    with pytest.raises(BalanceLimitExceeded):
        refund(paid.id)
