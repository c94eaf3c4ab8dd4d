"""A thousand holds, each captured, released and expired concurrently when it ends: `make torture`."""

import random
import threading
import time
from collections import Counter

import pytest
from django.db import connection
from django.utils import timezone

from ledger.errors import HoldCaptured, HoldExpired, HoldReleased
from ledger.models import Entry, Hold
from ledger.selectors import balance_of
from ledger.services.holds import expire_holds, release_hold
from ledger.services.reconciliation.checks import Scope
from tests.factories import customer_with
from tests.usage.metering import captured, held, price
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db(transaction=True)
HOLDS = 1_000
BETWEEN_HOLDS_SECONDS = 0.004
AROUND_THE_END_SECONDS = 0.003
WINS = {"captured": (1, 0), "released": (0, 1), "expired": (0, 0)}


class Race:
    """Holds that are opened one after another, and nine threads that each try to settle every one when it expires."""

    def __init__(self, user):
        self.user = user
        self.opened: list[Hold] = []
        self.won: Counter[tuple[int, str]] = Counter()

    def run(self):
        ways = [self.capture, self.release, self.expire] * 3
        threads = [threading.Thread(target=self.settle_each, args=[place, way]) for place, way in enumerate(ways)]
        for thread in threads:
            thread.start()
        for _ in range(HOLDS):
            self.opened.append(held(self.user, expires_in_seconds=1).hold)
            time.sleep(BETWEEN_HOLDS_SECONDS)
        for thread in threads:
            thread.join()

    def settle_each(self, place, way):
        draw = random.Random(place)
        for number in range(HOLDS):
            while len(self.opened) <= number:
                time.sleep(BETWEEN_HOLDS_SECONDS)
            left = (self.opened[number].expires_at - timezone.now()).total_seconds()
            time.sleep(max(left + draw.gauss(0, AROUND_THE_END_SECONDS), 0))
            try:
                way(number, self.opened[number])
            except (HoldCaptured, HoldReleased, HoldExpired):
                continue
            self.won[number, way.__name__] += 1
        connection.close()

    def capture(self, number, hold):
        captured(hold)

    def release(self, number, hold):
        release_hold(hold_id=hold.pk, idempotency_key=f"{number} {threading.get_ident()}")

    def expire(self, number, hold):
        expire_holds(user_id=self.user.pk)


def test_exactly_one_of_capture_release_and_expiry_wins():
    user = customer_with(HOLDS)
    price("search", 1)
    race = Race(user)

    race.run()

    expire_holds(user_id=user.pk)
    settled = Counter()
    for number, hold in enumerate(race.opened):
        hold.refresh_from_db()
        settled[hold.status] += 1
        assert (race.won[number, "capture"], race.won[number, "release"]) == WINS[hold.status]
    assert sum(settled.values()) == HOLDS
    assert min(settled[status] for status in WINS) > HOLDS // 50, settled
    had = balance_of(user_id=user.pk)
    assert (had.balance, had.reserved) == (HOLDS - settled["captured"], 0)
    assert Entry.objects.filter(reason="capture").count() == settled["captured"]
    assert reconcile(Scope())[1] == []
