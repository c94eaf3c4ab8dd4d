"""Concurrent holds, refunds and events: each test fails when the lock that it is about is removed."""

import datetime as dt
import itertools
import time
from collections import Counter
from decimal import Decimal

import pytest
from django.utils import timezone

from ledger.errors import (
    CaptureExceedsHold,
    HoldCaptured,
    HoldExpired,
    HoldReleased,
    HoldSettled,
    IdempotencyKeyReused,
    RefundExceedsCharge,
)
from ledger.models import Balance, Entry, HoldStatus
from ledger.selectors import balance_of
from ledger.services.holds import expire_holds, extend_hold, release_hold
from tests.accounts.races import at_once
from tests.factories import customer_with
from tests.ledger.races import before_it_commits
from tests.usage.batches import asked
from tests.usage.metering import captured, charge, held, price, refund, rolled_up
from usage.models import RequestLog
from usage.services.charges.calls import charge_one, charge_together
from usage.services.events import Event, record_events

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("every_promise_is_kept")]
CALLERS = 8


@pytest.fixture
def alice(transactional_db):
    price("search", 10)
    price("free", 0)
    return customer_with(1000)


def kinds(outcomes):
    """Return the number of each kind of refusal; successes are under their status or `done`."""
    return Counter(type(outcome).__name__ if isinstance(outcome, Exception) else "done" for outcome in outcomes)


def taking_turns(*ways):
    """Return a function that makes each of these calls in turn."""
    turns = itertools.cycle(ways)
    return lambda: next(turns)()


class TestOneHold:
    def test_hold_is_captured_or_released_once(self, alice):
        for _ in range(5):
            opened = held(alice).hold
            keys = map(str, itertools.count(opened.pk * 100))

            outcomes = at_once(
                CALLERS,
                taking_turns(
                    lambda opened=opened: captured(opened),
                    lambda opened=opened, keys=keys: release_hold(hold_id=opened.pk, idempotency_key=next(keys)),
                ),
            )

            opened.refresh_from_db()
            refusal = {"captured": HoldCaptured, "released": HoldReleased}[opened.status].__name__
            assert kinds(outcomes) == {"done": 1, refusal: CALLERS - 1}
        assert balance_of(user_id=alice.pk).reserved == 0

    def test_hold_is_settled_once_by_capture_release_extension_or_expiry(self, alice):
        holds = [held(alice, expires_in_seconds=1).hold for _ in range(12)]
        settled_by = Counter()

        def settle_each(name, settle):
            for number, opened in enumerate(holds):
                time.sleep(max((opened.expires_at - timezone.now()).total_seconds(), 0))
                try:
                    settle(opened)
                except HoldSettled:
                    continue
                settled_by[number, name] += 1

        ways = {
            "captured": captured,
            "released": lambda opened: release_hold(hold_id=opened.pk, idempotency_key=f"{opened.pk} {time.time_ns()}"),
            "extended": lambda opened: extend_hold(
                hold_id=opened.pk, expires_in_seconds=60, idempotency_key=f"{opened.pk} {time.time_ns()}"
            ),
            "expired": lambda opened: expire_holds(user_id=alice.pk),
        }
        outcomes = at_once(
            CALLERS, taking_turns(*[lambda name=name, way=way: settle_each(name, way) for name, way in ways.items()])
        )

        assert outcomes == [None] * CALLERS
        for number, opened in enumerate(holds):
            opened.refresh_from_db()
            wins = [name for name in ("captured", "released") if settled_by[number, name]]
            assert wins == ([opened.status] if opened.status in ("captured", "released") else [])
            assert sum(settled_by[number, name] for name in wins) == len(wins)
            if opened.status == "expired":
                assert not settled_by[number, "extended"]
        statuses = Counter(opened.status for opened in holds)
        assert balance_of(user_id=alice.pk).balance == 1000 - 10 * statuses["captured"]
        assert Balance.objects.get(pk=alice.pk).reserved == 10 * statuses["open"]

    def test_hold_is_not_extended_while_its_release_has_not_committed(self, alice):
        opened = held(alice).hold

        _, refusal = before_it_commits(
            lambda: release_hold(hold_id=opened.pk, idempotency_key="r"),
            lambda: _outcome(lambda: extend_hold(hold_id=opened.pk, expires_in_seconds=9_000, idempotency_key="e")),
        )

        opened.refresh_from_db()
        assert (refusal, opened.status) == (HoldReleased, HoldStatus.RELEASED)
        assert opened.expires_at < timezone.now() + dt.timedelta(seconds=9_000)

    def test_hold_is_not_released_while_its_capture_has_not_committed(self, alice):
        opened = held(alice).hold

        _, refusal = before_it_commits(
            lambda: captured(opened),
            lambda: _outcome(lambda: release_hold(hold_id=opened.pk, idempotency_key="r")),
        )

        assert refusal is HoldCaptured

    def test_hold_is_not_captured_while_its_expiry_has_not_committed(self, alice):
        opened = held(alice, expires_in_seconds=0).hold

        _, refusal = before_it_commits(
            lambda: expire_holds(user_id=alice.pk), lambda: _outcome(lambda: captured(opened))
        )

        assert refusal is HoldExpired

    def test_hold_releases_no_more_than_it_holds_to_partial_captures(self, alice):
        opened = held(alice).hold

        outcomes = at_once(CALLERS, lambda: captured(opened, credits=Decimal(3), final=False))

        opened.refresh_from_db()
        assert kinds(outcomes) == {"done": 3, CaptureExceedsHold.__name__: CALLERS - 3}
        assert (opened.captured, opened.status) == (9, "open")
        assert Balance.objects.get(pk=alice.pk).reserved == 1
        assert rolled_up(alice) == [("search", 3, 0, 0, 9)]

    def test_hold_is_closed_by_one_of_many_final_captures(self, alice):
        opened = held(alice).hold

        outcomes = at_once(CALLERS, lambda: captured(opened, credits=Decimal(3)))

        assert kinds(outcomes) == {"done": 1, HoldCaptured.__name__: CALLERS - 1}
        assert balance_of(user_id=alice.pk).available == 997

    def test_hold_is_emptied_by_partial_captures_and_closed_once(self, alice):
        opened = held(alice).hold

        outcomes = at_once(CALLERS, lambda: captured(opened, credits=Decimal(5), final=False))

        assert kinds(outcomes) == {"done": 2, HoldCaptured.__name__: CALLERS - 2}
        assert balance_of(user_id=alice.pk).balance == 990

    @pytest.mark.parametrize(
        "change",
        [
            lambda opened: captured(opened, idempotency_key="k"),
            lambda opened: captured(opened, idempotency_key="k", credits=Decimal(2), final=False),
            lambda opened: captured(opened, idempotency_key="k", status=500, final=False),
            lambda opened: release_hold(hold_id=opened.pk, idempotency_key="k"),
            lambda opened: extend_hold(hold_id=opened.pk, expires_in_seconds=9_000, idempotency_key="k"),
        ],
        ids=["capture", "capture of a part", "capture of nothing", "release", "extend"],
    )
    def test_hold_is_changed_once_under_one_key_and_all_receive_the_same(self, alice, change):
        opened = held(alice).hold

        outcomes = at_once(CALLERS, lambda: change(opened))

        assert sorted(outcome.is_replay for outcome in outcomes) == [False] + [True] * (CALLERS - 1)
        assert len({(outcome.hold.pk, getattr(outcome, "entry_id", None)) for outcome in outcomes}) == 1
        assert RequestLog.objects.count() <= 1
        assert Entry.objects.filter(reason="capture").count() <= 1


class TestRefunds:
    @pytest.mark.parametrize("pay", [lambda user: charge(user).id, lambda user: captured(held(user).hold).entry_id])
    def test_refunds_return_no_more_than_was_paid(self, alice, pay):
        paid = pay(alice)

        outcomes = at_once(CALLERS, lambda: refund(paid, 3))

        assert kinds(outcomes) == {"done": 3, RefundExceedsCharge.__name__: CALLERS - 3}
        assert balance_of(user_id=alice.pk).balance == 999
        assert rolled_up(alice) == [("search", 1, 0, 0, 1)]

    def test_refunds_of_all_that_is_left_happen_once(self, alice):
        paid = charge(alice).id

        outcomes = at_once(CALLERS, lambda: refund(paid))

        assert kinds(outcomes) == {"done": 1, RefundExceedsCharge.__name__: CALLERS - 1}

    def test_refunds_under_one_key_happen_once_and_return_the_same(self, alice):
        paid = charge(alice).id

        outcomes = at_once(CALLERS, lambda: refund(paid, 3, idempotency_key="k"))

        assert sorted(outcome.is_replay for outcome in outcomes) == [False] + [True] * (CALLERS - 1)
        assert len({outcome.entry.pk for outcome in outcomes}) == 1
        assert balance_of(user_id=alice.pk).balance == 993

    def test_refunds_of_two_charges_under_one_key_refund_one(self, alice):
        first, second = charge(alice).id, charge(alice).id

        outcomes = at_once(
            CALLERS,
            taking_turns(
                lambda: refund(first, idempotency_key="k"),
                lambda: refund(second, idempotency_key="k"),
            ),
        )

        assert kinds(outcomes) == {"done": CALLERS // 2, IdempotencyKeyReused.__name__: CALLERS // 2}
        assert balance_of(user_id=alice.pk).balance == 990


class TestFreeAndPaidChargesUnderOneKey:
    def test_charges_are_one_and_the_other_is_refused(self, alice):
        for turn in range(5):
            outcomes = at_once(
                CALLERS,
                taking_turns(
                    lambda turn=turn: charge(alice, "free", idempotency_key=str(turn)),
                    lambda turn=turn: charge(alice, "search", idempotency_key=str(turn)),
                ),
            )

            assert kinds(outcomes) == {"done": CALLERS // 2, IdempotencyKeyReused.__name__: CALLERS // 2}
            assert RequestLog.objects.count() == turn + 1

    @pytest.mark.parametrize(("first", "second"), [("free", "search"), ("search", "free")])
    def test_charges_wait_for_each_other(self, alice, first, second):
        _, answer = before_it_commits(
            lambda: charge(alice, first, idempotency_key="k"),
            lambda: _outcome(lambda: charge(alice, second, idempotency_key="k")),
        )

        assert answer is IdempotencyKeyReused
        assert RequestLog.objects.count() == 1

    @pytest.mark.parametrize(("first", "second"), [("free", "search"), ("search", "free")])
    @pytest.mark.parametrize("is_batch_first", [True, False])
    def test_charges_wait_for_each_other_when_one_is_in_a_batch(self, alice, first, second, is_batch_first):
        alone, together = charge_one, lambda one: charge_together([one])[0]
        ways = (together, alone) if is_batch_first else (alone, together)

        made, answer = before_it_commits(
            lambda: ways[0](asked(first, user=alice, idempotency_key="k")),
            lambda: ways[1](asked(second, user=alice, idempotency_key="k")),
        )

        assert (made.outcome, answer.outcome) == ("charged", "key_reused")

    def test_charges_are_one_alone_and_in_batches(self, alice):
        free, paid = (asked(endpoint, user=alice, idempotency_key="k") for endpoint in ("free", "search"))

        outcomes = at_once(
            CALLERS,
            taking_turns(
                lambda: charge_one(free).outcome,
                lambda: charge_together([asked(user=alice), paid])[1].outcome,
                lambda: charge_together([free, asked("free", user=alice)])[0].outcome,
                lambda: charge_one(paid).outcome,
            ),
        )

        assert Counter(outcomes) == {"charged": 1, "replayed": CALLERS // 2 - 1, "key_reused": CALLERS // 2}
        assert RequestLog.objects.filter(request_id__in=[free.request_id, paid.request_id]).count() == 1


class TestEvents:
    def reported(self, user, numbers, *, backwards=False):
        events = [Event(id=str(n), source="s", subject=str(user.pk), endpoint="search") for n in numbers]
        return record_events(events[::-1] if backwards else events, now=timezone.now())

    def test_events_of_one_batch_are_recorded_once_each(self, alice):
        outcomes = at_once(CALLERS, lambda: self.reported(alice, range(10)))

        assert Counter(result.status for results in outcomes for result in results) == {
            "accepted": 10, "duplicate": 10 * (CALLERS - 1),
        }  # fmt: skip
        assert sorted(len({result.status for result in results}) for results in outcomes) == [1] * CALLERS
        assert rolled_up(alice) == [("search", 10, 0, 0, 100)]
        assert Entry.objects.filter(operation="record_events").count() == 1

    def test_events_of_batches_that_overlap_are_recorded_once_each(self, alice):
        starts = itertools.count(0, 5)

        def report_some():
            first = next(starts)
            return self.reported(alice, range(first, first + 10), backwards=first % 2 == 0)

        outcomes = at_once(CALLERS, report_some)

        assert Counter(result.status for results in outcomes for result in results)["accepted"] == 45
        assert balance_of(user_id=alice.pk).balance == 1000 - 450

    def test_events_of_several_customers_in_any_order_are_recorded_once_each(self, alice):
        people = [alice, *(customer_with(1000) for _ in range(3))]

        def report_of(people):
            events = [Event(id="1", source="s", subject=str(one.pk), endpoint="search") for one in people]
            return record_events(events, now=timezone.now())

        outcomes = at_once(CALLERS, taking_turns(lambda: report_of(people), lambda: report_of(people[::-1])))

        assert Counter(result.status for results in outcomes for result in results)["accepted"] == len(people)
        assert {balance_of(user_id=one.pk).balance for one in people} == {990}

    def test_events_that_share_the_last_credits_pay_for_what_there_is(self, alice):
        poor = customer_with(25)
        numbers = itertools.count(0, 2)

        def report_two():
            first = next(numbers)
            return self.reported(poor, [first, first + 1])

        outcomes = at_once(CALLERS, report_two)

        assert Counter(result.code for results in outcomes for result in results) == {None: 2, "unpaid": 14}
        assert balance_of(user_id=poor.pk).balance == 5


def _outcome(call):
    try:
        return call()
    except (HoldSettled, IdempotencyKeyReused) as refusal:
        return type(refusal)
