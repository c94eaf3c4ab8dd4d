"""Concurrent requests by one key: those that are admitted never exceed the key's limit."""

import datetime as dt
import itertools
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import ApiKey
from accounts.services.keys.own_keys import rotate_own_key
from ledger.errors import InsufficientCredits
from tests.accounts.races import at_once
from tests.factories import customer_with
from tests.ledger.races import wait_until_it_waits
from tests.usage.batches import asked
from tests.usage.key_limits import LimitedKey, limit, limited_key
from tests.usage.metering import captured, charge, price, refund
from usage.models import RequestLog
from usage.services.charges.calls import charge_together

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("every_promise_is_kept")]


@pytest.fixture(params=[False, True], ids=["one by one", "charged together"])
def alice(transactional_db, settings, request):
    settings.CHARGE_BATCHING = request.param
    price("search", 1)
    return customer_with(1000)


def refusals(outcomes):
    refused = [outcome for outcome in outcomes if isinstance(outcome, Exception)]
    assert {(type(outcome), outcome.reason) for outcome in refused} <= {(InsufficientCredits, "key_limit")}
    return len(refused)


def test_sixteen_charges_pass_up_to_the_limit(alice):
    key = limited_key(alice, 10)

    outcomes = at_once(16, lambda: key.charge(2))

    assert refusals(outcomes) == 11
    assert (key.spent, RequestLog.objects.filter(status=402).count()) == (10, 11)


def test_sixteen_holds_are_opened_up_to_the_limit(alice):
    key = limited_key(alice, 10)

    outcomes = at_once(16, lambda: key.hold(2))

    assert refusals(outcomes) == 11
    assert key.left == 0


def test_charges_holds_and_their_captures_share_the_room(alice):
    key = limited_key(alice, 10)
    turns = itertools.count()

    def spend():
        match next(turns) % 3:
            case 0:
                return key.charge(2)
            case 1:
                return key.hold(2)
            case _:
                return captured(key.hold(2))

    outcomes = at_once(16, spend)

    assert refusals(outcomes) == 11
    assert key.left == 0


def test_batches_of_charges_pass_up_to_the_limit(alice):
    key = limited_key(alice, 10)
    named = ApiKey.objects.get(pk=key.id)

    outcomes = at_once(8, lambda: charge_together([asked(key=named, units=Decimal(2)) for _ in range(2)]))

    assert Counter((one.outcome, one.reason) for rows in outcomes for one in rows) == {
        ("charged", None): 5,
        ("insufficient", "key_limit"): 11,
    }
    assert (key.spent, key.left) == (10, 0)


def test_two_keys_of_a_rotation_share_the_room(alice):
    old = limited_key(alice, 10)
    day = dt.timedelta(days=1)
    new = LimitedKey(rotate_own_key(user_id=alice.pk, key_id=old.id, grace=day, now=timezone.now()))
    turns = itertools.cycle([old, new])

    outcomes = at_once(16, lambda: next(turns).charge(2))

    assert refusals(outcomes) == 11
    assert (old.spent, new.spent) == (10, 10)


def test_a_concurrent_report_is_counted_once(alice):
    key = limited_key(alice, 10)
    turns = itertools.count()

    at_once(16, lambda: key.report(1) if next(turns) % 2 else key.charge(1))

    assert 8 <= key.spent <= 16
    assert key.spent == sum(RequestLog.objects.values_list("credits", flat=True))


def test_refunded_room_is_used_once(alice):
    key = limited_key(alice, 10)
    paid = key.charge(10)
    turns = itertools.count()

    outcomes = at_once(16, lambda: key.charge(2) if next(turns) % 4 else refund(paid.id, 1))

    assert refusals(outcomes) >= 10
    assert key.spent + key.left == 10


def test_a_charge_that_began_before_there_was_a_limit_is_counted(alice):
    key = limited_key(alice, None)

    def charge_late():
        try:
            return key.charge(3)
        finally:
            connection.close()

    with ThreadPoolExecutor(max_workers=1) as pool:
        with transaction.atomic():
            charge(alice)  # locks the balance
            waiting = pool.submit(charge_late)
            wait_until_it_waits(waiting)  # it has read the key by now, and waits
            limit(key, 10)
            key.charge(1)
        waiting.result(timeout=30)

    assert (key.spent, key.left) == (4, 6)
