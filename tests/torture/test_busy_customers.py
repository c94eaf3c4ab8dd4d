"""Repeated races, with threads killed anywhere: `make torture`."""

import ctypes
import itertools
import random
import threading
import time
from collections import defaultdict
from contextlib import suppress
from decimal import Decimal

import pytest
from django.db import DataError, connection

from ledger.errors import HoldExpired, IdempotencyKeyReused, InsufficientCredits
from ledger.selectors import balance_of
from ledger.services.reconciliation.checks import Scope
from tests.accounts.races import at_once
from tests.factories import customer_with
from tests.usage.metering import captured, charge, held, price
from usage.errors import PriceUnknown
from usage.services.charges import charge as charging
from usage.services.charges.batching import Batcher
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db(transaction=True)
ROUNDS = 200
REFUSALS = (InsufficientCredits, IdempotencyKeyReused, PriceUnknown, DataError)


class Killed(BaseException):
    """Ends a thread anywhere in its own code."""


def assert_books_are_right(user):
    assert charging._busy_customers._queues == {}
    assert reconcile(Scope(user_id=user.pk))[1] == []


@pytest.fixture(autouse=True)
def _prices(transactional_db):
    price("search", 1)
    price("free", 0)


def a_charge(draw, user):
    """Return a random charge: few keys, so that repeats meet; some cannot succeed."""
    asked = {"idempotency_key": str(draw.randrange(60))} if draw.random() < 0.5 else {}
    return charge(
        user,
        draw.choices(["search", "free", "unheard of"], [8, 2, 1])[0],
        status=draw.choice([200, 200, 200, 500]),
        credits=draw.choice([None, None, Decimal("2.5"), Decimal(100_000)]),
        reference=draw.choice([None] * 20 + ["x" * 256]),
        **asked,
    )


@pytest.mark.parametrize("round_number", range(ROUNDS))
def test_charges_holds_and_captures_at_once_leave_books_that_reconcile(round_number):
    draw = random.Random(round_number)
    user = customer_with(draw.choice([5, 60, 1_000]))
    seeds = itertools.count(round_number * 1_000)

    def work():
        mine, done = random.Random(next(seeds)), []
        for _ in range(12):
            with suppress(*REFUSALS, HoldExpired):
                if mine.random() < 0.8:
                    done.append(a_charge(mine, user))
                else:
                    opened = held(user, credits=Decimal(2), expires_in_seconds=mine.choice([0, 60])).hold
                    captured(opened, credits=Decimal(1), final=mine.random() < 0.7)
        return done

    made = [one for mine in at_once(draw.choice([3, 12, 40]), work) for one in mine]

    by_id = defaultdict(list)
    for one in made:
        by_id[one.id].append(one)
    assert all(len({(one.entry_id, one.request_id, one.balance_after) for one in same}) == 1 for same in by_id.values())
    assert all(sum(not one.is_replay for one in same) == 1 for same in by_id.values())
    assert_books_are_right(user)


@pytest.mark.parametrize("round_number", range(ROUNDS // 4))
def test_threads_killed_anywhere_block_no_other_and_charge_nothing_twice(round_number, monkeypatch):
    """Exceptions are thrown into threads from outside, as close to anywhere as Python allows."""
    ordinary = charging._busy_customers
    batcher = Batcher(one=ordinary._one, together=ordinary._together, patience_seconds=0.5)
    monkeypatch.setattr(charging, "_busy_customers", batcher)
    draw = random.Random(round_number)
    user = customer_with(10_000)
    made, deaths, slowest = [], [], []

    def work():
        while len(made) < 600:
            began = time.monotonic()
            try:
                made.append(charge(user))
            except Killed:
                deaths.append(1)
                connection.close()
            slowest.append(time.monotonic() - began)
        with suppress(Killed):
            time.sleep(0.05)  # for the last one that was thrown

    threads = [threading.Thread(target=shielded, args=[work]) for _ in range(12)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        victim = draw.choice(threads)
        if len(made) < 550 and victim.is_alive():
            ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(victim.ident), ctypes.py_object(Killed))
        time.sleep(draw.random() * 0.02)

    charged = 10_000 - balance_of(user_id=user.pk).balance
    assert deaths
    assert len({one.id for one in made}) == len(made)
    assert len(made) <= charged <= len(made) + len(deaths)
    assert max(slowest) < 5
    assert charge(user)
    assert reconcile(Scope(user_id=user.pk))[1] == []
    # A leader that was killed may have left its name behind: the next caller that waits in vain removes it.
    at_once(4, lambda: [charge(user) for _ in range(3)])
    assert batcher._queues == {}


def shielded(work):
    while True:
        try:
            work()
        except Killed:  # it was killed outside of the guarded code
            continue
        finally:
            connection.close()
        return
