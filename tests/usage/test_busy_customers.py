"""Many concurrent callers for one customer: batches form, without a visible difference."""

import itertools
import threading
from collections import Counter
from contextlib import suppress
from decimal import Decimal

import pytest
from django.db import DataError, IntegrityError, connection, transaction
from django.test.utils import CaptureQueriesContext

from accounts.key_format import hash_of
from ledger.errors import HoldCaptured, HoldExpired, IdempotencyKeyReused, InsufficientCredits
from ledger.models import Entry
from ledger.selectors import balance_of
from tests.accounts.races import at_once
from tests.config.test_db_calls import backend_pid, terminate
from tests.conftest import owner_connection
from tests.factories import ApiKeyFactory, customer_with
from tests.ledger.posting import hold
from tests.usage.batches import asked
from tests.usage.metering import captured, charge, held, price, rolled_up
from tests.usage.test_partitions import partitions
from usage.errors import PriceUnknown
from usage.models import RequestLog
from usage.services.charges import charge as charging
from usage.services.charges.batching import Batcher
from usage.services.charges.calls import charge_one, charge_together

pytestmark = pytest.mark.django_db(transaction=True)


class Killed(BaseException):
    """An exception that ends a thread without being caught."""


@pytest.fixture(autouse=True)
def _prices_and_an_idle_batcher(every_promise_is_kept):
    price("search", 1)
    price("free", 0)
    yield
    assert charging._busy_customers._queues == {}


@pytest.fixture
def batches(monkeypatch):
    """Record the sizes of the batches."""
    sizes = []

    def counted(many):
        sizes.append(len(many))
        return charge_together(many)

    monkeypatch.setattr(charging, "_busy_customers", Batcher(one=charge_one, together=counted))
    return sizes


def kinds(outcomes):
    return Counter(type(outcome).__name__ for outcome in outcomes)


def test_concurrent_charges_are_batched(batches):
    user = customer_with(1000)

    outcomes = at_once(16, lambda: [charge(user) for _ in range(10)])

    assert kinds(outcomes) == {"list": 16}
    assert sum(batches) > 80
    assert max(batches) > 4
    assert sorted(one.balance_after for mine in outcomes for one in mine) == list(range(840, 1000))
    assert rolled_up(user) == [("search", 160, 0, 0, 160)]


def test_64_callers_with_one_key_charge_once_and_63_receive_the_replay():
    user = customer_with(100)

    outcomes = at_once(64, lambda: charge(user, idempotency_key="k"))

    assert Counter(outcome.is_replay for outcome in outcomes) == {False: 1, True: 63}
    assert len({(one.id, one.entry_id, one.request_id, one.balance_after) for one in outcomes}) == 1
    assert rolled_up(user) == [("search", 1, 0, 0, 1)]


def test_one_hundred_callers_share_600_credits_exactly():
    user = customer_with(600)
    turns = itertools.count()

    def spend():
        done = []
        while next(turns) < 1200:
            try:
                done.append(charge(user))
            except InsufficientCredits as refusal:
                done.append(refusal)
        return done

    outcomes = [one for mine in at_once(100, spend) for one in mine]

    assert kinds(outcomes) == {"Charge": 600, "InsufficientCredits": 600}
    assert {one.balance_after for one in outcomes if not isinstance(one, Exception)} == set(range(600))
    assert balance_of(user_id=user.pk).balance == 0
    assert rolled_up(user) == [("search", 600, 0, 600, 600)]


def test_each_of_many_kinds_of_calls_gets_its_own_outcome(batches):
    user = customer_with(100_000)
    key = hash_of(ApiKeyFactory(user=user).raw)
    charge(user, idempotency_key="used")
    calls = [
        (lambda: charge(user), "Charge"),
        (lambda: charge(user, "free"), "Charge"),
        (lambda: charge(user, "unheard of"), PriceUnknown.__name__),
        (lambda: charge(user, credits=Decimal(10**8)), InsufficientCredits.__name__),
        (lambda: charge(user, idempotency_key="used"), "Charge"),
        (lambda: charge(user, "free", idempotency_key="used"), IdempotencyKeyReused.__name__),
        (lambda: charge(user, reference="x" * 256), DataError.__name__),
        (lambda: charge(user, status=99), IntegrityError.__name__),
        (lambda: charge(user, status=500), "Charge"),
        (lambda: charge(None, key_hash=key), "Charge"),
    ]
    numbers = itertools.count()

    def work():
        done = []
        for _ in range(10):
            call, expected = calls[next(numbers) % len(calls)]
            try:
                outcome = call()
            except Exception as refusal:  # noqa: BLE001  what it was is looked at
                outcome = refusal
            done.append((type(outcome).__name__, expected))
        return done

    outcomes = [one for mine in at_once(20, work) for one in mine]

    assert {got for got in outcomes if got[0] != got[1]} == set()
    assert Counter(expected for _, expected in outcomes)["Charge"] == 100
    assert batches
    # Of each ten: search, free, one refused, one failed, one by key.
    assert rolled_up(user) == [("free", 20, 0, 0, 0), ("search", 41, 20, 20, 41)]


def test_a_callers_own_charges_keep_their_order():
    user = customer_with(1000)

    at_once(8, lambda: [charge(user, reference=f"{threading.get_ident()} {turn:02}") for turn in range(20)])

    references = list(Entry.objects.filter(reason="usage").order_by("seq").values_list("reference", flat=True))
    for caller in {reference.split()[0] for reference in references}:
        own = [reference for reference in references if reference.startswith(f"{caller} ")]
        assert own == sorted(own)


def test_holds_and_captures_of_a_busy_customer_are_exact():
    user = customer_with(400)
    numbers = itertools.count()

    def work():
        for number in itertools.islice(numbers, 25):
            with suppress(InsufficientCredits, HoldExpired):
                match number % 5:
                    case 0:
                        captured(held(user).hold, credits=Decimal("0.5"))
                    case 1:
                        captured(held(user, credits=Decimal(3)).hold, final=False, credits=Decimal(1))
                    case 2:
                        hold(user, 2, seconds=0)
                    case _:
                        charge(user)

    outcomes = at_once(20, work)

    assert outcomes == [None] * 20
    had = balance_of(user_id=user.pk)
    assert had.available >= 0
    assert rolled_up(user)[0][4] == 400 - had.balance


def test_one_hold_is_captured_by_one_of_many_while_charges_go_on():
    user = customer_with(1000)
    hold_opened = held(user, credits=Decimal(7)).hold
    turns = itertools.count()

    def work():
        if next(turns) % 2:
            return [charge(user) for _ in range(5)]
        return captured(hold_opened)

    outcomes = at_once(20, work)

    assert kinds(outcomes) == {"list": 10, "Captured": 1, HoldCaptured.__name__: 9}
    assert balance_of(user_id=user.pk).balance == 1000 - 7 - 50


def dying(where):
    """Return a `together` whose caller dies the first three times: before the call, after it, or handing out."""
    deaths = itertools.count()

    def together(many):
        if next(deaths) >= 3:
            return charge_together(many)
        if where == "before the call":
            raise Killed
        rows = charge_together(many)
        if where == "after the commit":
            raise Killed
        return hand_out_some(rows)

    def hand_out_some(rows):
        yield from rows[: len(rows) // 2]
        raise Killed

    return together


@pytest.mark.parametrize("where", ["before the call", "after the commit", "in the middle of handing out"])
def test_dead_leaders_affect_no_other_caller_and_charge_nothing_twice(monkeypatch, where):
    user = customer_with(1000)
    monkeypatch.setattr(charging, "_busy_customers", Batcher(one=charge_one, together=dying(where)))
    killed = []

    def work():
        done = []
        for _ in range(10):
            try:
                done.append(charge(user))
            except Killed:
                killed.append(1)
        return done

    made = [one for mine in at_once(16, work) for one in mine]

    charged = balance_of(user_id=user.pk).balance
    assert len(killed) == 3
    assert len(made) == 157
    assert len({one.id for one in made}) == 157
    # The charge of a dead leader exists if its call had been made.
    assert 1000 - charged == 157 + (0 if where == "before the call" else 3)


def test_a_charge_in_a_transaction_goes_alone_and_is_undone_with_it(batches):
    user = customer_with(100)

    def undo():
        for _ in range(5):
            with transaction.atomic():
                charge(user)
                transaction.set_rollback(True)

    assert at_once(8, undo) == [None] * 8

    assert batches == []
    assert balance_of(user_id=user.pk).balance == 100


def test_with_batching_off_every_charge_is_a_call_of_its_own(batches, settings):
    settings.CHARGE_BATCHING = False
    user = customer_with(100)

    at_once(8, lambda: [charge(user) for _ in range(5)])

    assert batches == []
    assert balance_of(user_id=user.pk).balance == 60


def test_a_lone_caller_makes_one_plain_call():
    user = customer_with(100)
    charge(user)

    with CaptureQueriesContext(connection) as queries:
        charge(user)

    assert [query["sql"].split("(")[0] for query in queries] == ["SELECT * FROM usage_charge"]


def test_the_first_batch_of_a_month_makes_its_partition():
    user = customer_with(100)
    many = [asked(user=user) for _ in range(3)]
    with owner_connection(autocommit=True) as owner:
        for name in partitions():
            owner.execute(f"DROP TABLE {name}")

    assert [row.outcome for row in charge_together(many)] == ["charged"] * 3
    assert RequestLog.objects.count() == 3


def test_a_batch_that_loses_its_connection_is_made_again():
    user = customer_with(100)
    terminate(backend_pid())

    assert [row.outcome for row in charge_together([asked(user=user) for _ in range(3)])] == ["charged"] * 3
    assert balance_of(user_id=user.pk).balance == 97
