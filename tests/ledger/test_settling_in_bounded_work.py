"""Settling does bounded work for any history, and settles long histories as exactly as short ones."""

from __future__ import annotations

import time
from contextlib import contextmanager

import pytest
from django.core.management import call_command
from django.db import Error, connection, transaction

from ledger.models import Balance, Entry, Grant, GrantDraw, GrantProgress
from ledger.providers import fake as cards
from ledger.selectors import balance_of
from ledger.services.grants import ENTRIES_AT_ONCE, settle_grants
from ledger.services.payments.reversals import settle_reversals
from ledger.services.reconciliation.checks import LEDGER_CHECKS, Scope
from ledger.services.reconciliation.grant_checks import GRANT_CHECKS
from ledger.services.reconciliation.reversal_checks import REVERSAL_CHECKS
from tests.factories import customer_with, give
from tests.ledger.bulk import write_debits, write_refunded_debits
from tests.ledger.granting import end, granted, left
from tests.ledger.paying import bought
from tests.ledger.posting import hold, post
from tests.ledger.subscribing import plan, subscribe
from tests.usage.metering import captured, charge, refund

pytestmark = pytest.mark.django_db(transaction=True)
PAIRS = 20_000


@pytest.fixture
def alice(transactional_db):
    return customer_with(1_000, email="alice@example.com")


@pytest.fixture(autouse=True)
def _books_are_right(transactional_db):
    yield
    _check_books()


def _check_books():
    assert [found for check in (*LEDGER_CHECKS, *GRANT_CHECKS, *REVERSAL_CHECKS) for found in check.run(Scope())] == []


def has(user):
    return balance_of(user_id=user.pk).balance


@contextmanager
def at_most(seconds: float):
    """Limit statements to that many seconds, as a server's statement_timeout would."""
    with connection.cursor() as cursor:
        cursor.execute("SET statement_timeout = %s", [int(1000 * seconds)])
        yield
        cursor.execute("RESET statement_timeout")


def progress(user):
    return GrantProgress.objects.filter(user=user).values_list("seq", flat=True).first() or 0


class TestTwentyThousandRefunds:
    @pytest.fixture(autouse=True)
    def _history(self, alice):
        write_refunded_debits(alice.pk, PAIRS)

    def test_do_not_delay_the_first_grant_that_ends(self, alice):
        with at_most(seconds=2):
            gift = granted(alice, 50, days=1)
            charge(alice, credits=20)
            end(gift)
            assert has(alice) == 1_000
            charge(alice, credits=1)
            assert has(alice) == 999
            charge(alice, credits=1)

        _check_books()
        expired = Entry.objects.of(alice.pk).get(reason="expiry")
        assert expired.amount == -30
        assert 0 < progress(alice) < 2 * PAIRS
        first = Grant.objects.exclude(pk=gift.pk).earliest("pk")
        assert left(alice) == {first.pk: 998, gift.pk: 0}
        assert Grant.objects.get(pk=gift.pk).expired == 30

    def test_are_settled_by_the_command_in_committed_batches(self, alice):
        call_command("expire_grants")

        assert progress(alice) == 2 * PAIRS + 1
        assert set(left(alice).values()) == {1_000}

    def test_do_not_delay_the_start_of_a_subscription(self, alice):
        with at_most(seconds=2):
            subscribe(alice, plan(100, cap=0))

        assert has(alice) == 1_100
        assert sorted(left(alice).values()) == [100, 1_000]


class TestMoreRefundsThanACallSettles:
    @pytest.fixture(autouse=True)
    def _history(self, alice):
        write_refunded_debits(alice.pk, 2 * ENTRIES_AT_ONCE)

    def test_are_followed_by_refunds_to_the_grants_that_were_drawn_on(self, alice):
        soon, later = granted(alice, 50, days=1), granted(alice, 50, days=2)
        over_three = charge(alice, credits=120)
        end(soon)

        refund(over_three.id)

        assert has(alice) == 1_050
        assert left(alice)[soon.pk] == 0
        assert left(alice)[later.pk] == 50

    def test_are_followed_by_captures_of_what_ended_grants_kept(self, alice):
        gift = granted(alice, 50, days=1)
        held = hold(alice, 40).hold
        end(gift)
        charge(alice, credits=5)
        assert has(alice) == 1_035

        captured(held, credits=30)

        assert has(alice) == 1_000 + 50 - 10 - 5 - 30 - 10
        assert left(alice)[gift.pk] == 0
        drawn = GrantDraw.objects.filter(grant=gift.pk).order_by("last_seq").values_list("credits", flat=True)
        assert list(drawn) == [10, 30, 10]

    def test_after_a_grant_that_ends_are_settled_exactly_too(self, alice):
        gift = granted(alice, 50, days=1)
        write_refunded_debits(alice.pk, 2 * ENTRIES_AT_ONCE + 10, credits="60")  # a batch ends with nothing left of it
        end(gift)

        assert has(alice) == 1_000
        charge(alice, credits=1)
        assert has(alice) == 999
        assert left(alice)[gift.pk] == 0


class TestAHistoryTooLongForOneTransaction:
    """Written in bulk after a grant that ends, so that all of the past must be settled."""

    @pytest.fixture(autouse=True)
    def _history(self, alice):
        self.gift = granted(alice, 50, days=1)
        write_refunded_debits(alice.pk, 5 * ENTRIES_AT_ONCE + 100, credits="60")
        end(self.gift)

    def test_settles_in_batches_by_the_charge_that_needs_it(self, alice):
        charge(alice, credits=1)

        assert has(alice) == 999
        assert left(alice)[self.gift.pk] == 0

    def test_settles_in_batches_before_a_subscription_begins(self, alice):
        subscribe(alice, plan(100, cap=0))

        assert has(alice) == 1_100

    def test_refuses_a_call_within_another_transaction(self, alice):
        with pytest.raises(Error, match="are to be settled first"), transaction.atomic():
            charge(alice, credits=1)

        assert progress(alice) == 0


class TestDebitsWithoutNumber:
    def test_are_settled_by_their_sum(self, alice):
        soon, later = granted(alice, 50, days=1), granted(alice, 100, days=2)
        write_debits(alice.pk, 70_000, credits="0.001")

        with at_most(seconds=2):
            end(soon)
            assert has(alice) == 1_080
            charge(alice, credits=1)

        assert left(alice)[later.pk] == 79
        draws = GrantDraw.objects.order_by("pk").values_list("grant_id", "first_seq", "last_seq", "credits")
        assert list(draws) == [
            (soon.pk, 4, 50_003, 50),
            (later.pk, 50_004, 70_003, 20),
            (later.pk, 70_004, 70_004, 1),
        ]

    def test_are_split_where_a_grant_ends_within_one(self, alice):
        first, second = granted(alice, "2.5", days=1), granted(alice, "0.2", days=2)
        write_debits(alice.pk, 5, credits="1")

        settle_grants(user_id=alice.pk)

        rows = GrantDraw.objects.order_by("pk").values_list(
            "grant_id", "first_seq", "last_seq", "first_credits", "last_credits"
        )
        always = Grant.objects.get(amount=1_000).pk
        assert [(grant, a, b, float(x), float(y)) for grant, a, b, x, y in rows] == [
            (first.pk, 4, 6, 1.0, 0.5),
            (second.pk, 6, 6, 0.2, 0.2),
            (always, 6, 8, 0.3, 1.0),
        ]


class TestHistoriesThatGrow:
    def test_never_get_further_behind_than_a_call_can_settle(self, alice):
        write_debits(alice.pk, 1_020)
        assert progress(alice) == 0

        for _ in range(6):
            charge(alice, credits=1)

        assert Balance.objects.get(user=alice).seq - progress(alice) < 10

    def test_are_settled_as_they_grow_with_credits_alone(self, alice):
        write_debits(alice.pk, 1_000)
        for _ in range(30):
            give(alice, 1)

        assert progress(alice) > 1_000


def test_a_purchase_is_taken_back_only_when_its_own_grant_is_known(alice):
    payment = bought(alice, cards.APPROVE)
    charge(alice, credits=1_200)
    write_refunded_debits(alice.pk, ENTRIES_AT_ONCE)
    gift = granted(alice, 50, days=1)
    payment.refunded_minor = payment.amount_minor
    payment.save(update_fields=["refunded_minor"])

    with transaction.atomic():
        assert settle_reversals(payment_id=payment.pk) == "unsettled"

    # The settlement that comes first takes what is available; the rest is owed.
    assert settle_reversals(payment_id=payment.pk) == "insufficient"
    assert left(alice)[gift.pk] == 0
    assert left(alice)[payment.entry_id] == 0
    assert has(alice) == 0


def test_many_refunds_of_one_debit_take_as_long_as_refunds_of_many_debits(alice):
    spent = charge(alice, credits=900)
    for _ in range(30):
        refund(spent.id, 1)
    post(alice, 5)

    started = time.monotonic()
    assert sum(left(alice).values()) == 135
    assert time.monotonic() - started < 2
