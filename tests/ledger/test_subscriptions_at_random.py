"""Random actions on a subscription: readers see what is written, and every check passes."""

import random
from contextlib import suppress
from decimal import Decimal

import pytest

from ledger.errors import InsufficientCredits, LedgerRefusal
from ledger.models import Entry, SubscriptionPeriod
from ledger.selectors import balance_of
from ledger.services.grants import settle_grants
from tests.factories import UserFactory, give
from tests.ledger.granting import granted
from tests.ledger.posting import allow_overdraft
from tests.ledger.subscribing import YEARLY, cancel, let_time_pass, move, pause, plan, resume, subscribe
from tests.usage.metering import charge, held, refund
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)
STEPS = 25


@pytest.mark.parametrize("seed", range(6))
def test_readers_see_what_is_written_and_every_check_passes(seed):
    draw = random.Random(seed)
    alice = UserFactory(email="alice@example.com")
    plans = [plan(40, cap=0), plan(100, cap=30), plan(100, cap=250, credits_per_year=Decimal(900)), plan(70, cap=None)]
    allow_overdraft(alice, 20)
    charges = []
    subscribe(alice, draw.choice(plans))

    def spend():
        with suppress(InsufficientCredits):
            charges.append(charge(alice, credits=draw.randrange(1, 120)))

    def give_back():
        if charges:
            refund(charges.pop(draw.randrange(len(charges))).id)

    def hold():
        with suppress(InsufficientCredits):
            held(alice, credits=draw.randrange(1, 60), expires_in_seconds=86_400)

    steps = [
        *[lambda: let_time_pass(alice, days=draw.randrange(1, 45))] * 4,
        *[spend] * 4,
        give_back,
        hold,
        lambda: give(alice, 25),
        lambda: granted(alice, 15, days=draw.randrange(1, 60)),
        *[lambda: subscribe(alice, draw.choice(plans))] * 2,
        lambda: move(alice, draw.choice(plans)),
        lambda: move(alice, plans[2], YEARLY),
        lambda: move(alice, draw.choice(plans), at_period_end=True),
        lambda: pause(alice),
        *[lambda: resume(alice)] * 2,
        lambda: cancel(alice, at_once=draw.random() < 0.5),
    ]
    for _ in range(STEPS):
        with suppress(LedgerRefusal):
            draw.choice(steps)()
        if draw.random() < 0.6:
            seen = balance_of(user_id=alice.pk)
            settle_grants(user_id=alice.pk)
            assert balance_of(user_id=alice.pk) == seen
    settle_grants(user_id=alice.pk)

    assert reconcile(Scope())[1] == []
    brought = Entry.objects.filter(operation="subscription").count()
    assert brought >= SubscriptionPeriod.objects.exclude(credits=0).count() > 0
