"""An upgrade that is taken back and made again: what was charged, held and given back before is as it was."""

import datetime as dt
from decimal import Decimal

import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone
from psycopg.types.json import Jsonb

from accounts.models import ApiKey
from accounts.services.keys.own_keys import rotate_own_key
from config.db.calls import call
from ledger.errors import ChargeNotFound, HoldCaptured, RefundExceedsCharge
from ledger.models import Balance, Entry, Hold
from ledger.selectors import balance_of
from ledger.services.idempotency import fingerprint
from ledger.services.reconciliation.checks import Scope
from tests.factories import ApiKeyFactory, customer_with, give
from tests.usage.histories import MARCH, eventful, prices
from tests.usage.key_limits import limit, limited_key
from tests.usage.metering import captured, charge, held, refund, report, request_at
from usage.models import DailyUsage, EventKey, Refund, RequestLog
from usage.services.events import Event, record_events
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])

BEFORE = (("usage", "0009"), ("ledger", "0010"), ("accounts", "0004"))
NOW = timezone.now()
OF_A_HOLD = [field.attname for field in Hold._meta.concrete_fields if field.name not in {"purpose", "api_key"}]


class Upgrade:
    """The database's way to the release before, and to this one again."""

    def take_back(self):
        for app, migration in BEFORE:
            call_command("migrate", app, migration, verbosity=0)

    def make(self):
        call_command("migrate", verbosity=0)


@pytest.fixture
def upgrade(transactional_db):
    yield Upgrade()
    Upgrade().make()


@pytest.fixture
def alice(transactional_db):
    prices()
    alice = eventful("alice@example.com")
    give(alice, 100)
    return alice


def event(user, id="1", source="gateway"):
    return Event(id=id, source=source, subject=str(user.pk), endpoint="search", time=NOW)


def findings():
    return reconcile(Scope())[1]


def test_the_books_are_the_same_afterwards(upgrade, alice):
    captured(held(alice, units=Decimal(4)).hold, credits=Decimal(1), final=False)
    record_events([event(alice), event(alice, source="s" * 250)], now=NOW)
    before, had = _rows(), balance_of(user_id=alice.pk)

    upgrade.take_back()
    assert Balance.objects.values_list("balance", flat=True).get(user=alice) == had.balance
    upgrade.make()

    assert _rows() == before
    assert balance_of(user_id=alice.pk) == had
    assert findings() == []


def _rows():
    """All that is kept, except what only this release knows of a hold: what it was opened for, and by which key."""
    kept = {model: list(model.objects.order_by("pk").values()) for model in (Entry, RequestLog, DailyUsage)}
    refunds = list(Refund.objects.order_by("pk").values("pk", "user", "charge", "endpoint", "credits", "occurred_at"))
    return kept | {Refund: refunds, Hold: list(Hold.objects.order_by("pk").values(*OF_A_HOLD))}


def test_a_hold_of_nothing_is_given_back_on_the_way(upgrade, alice):
    of_nothing = held(alice, "free").hold
    worked = captured(held(alice, "free").hold).hold

    upgrade.take_back()
    upgrade.make()

    of_nothing.refresh_from_db()
    assert of_nothing.status == "released"
    assert Hold.objects.get(pk=worked.pk).status == worked.status
    captured(held(alice, "free").hold)
    assert findings() == []


def test_work_that_began_before_is_ended_afterwards(upgrade, alice):
    opened = held(alice, units=Decimal(2)).hold
    partly = held(alice, units=Decimal(2)).hold
    captured(partly, credits=Decimal(1), final=False)
    paid = charge(alice, credits=Decimal(2))
    refund(paid.id, Decimal("0.5"))

    upgrade.take_back()
    upgrade.make()

    captured(opened)
    captured(partly)
    refund(paid.id, Decimal("0.5"))
    assert refund(paid.id).entry.amount == 1
    with pytest.raises(HoldCaptured):
        captured(partly)
    assert findings() == []


def test_what_happened_in_between_is_as_good_as_any(upgrade, alice):
    upgrade.take_back()
    charges = [charge(alice, idempotency_key=f"between {n}") for n in range(3)]
    free = charge(alice, "free")
    opened = _hold_as_before(alice, 5)
    give(alice, 1)
    report(alice, [request_at(MARCH + dt.timedelta(days=1))], charged=True)
    upgrade.make()

    assert charge(alice, idempotency_key="between 0").is_replay
    assert [charge(alice, idempotency_key=f"between {n}").id for n in range(3)] == [each.id for each in charges]
    assert captured(Hold.objects.get(pk=opened)).hold.captured == 5
    for each in charges:
        # Its id was drawn apart from its entry's: it may be refunded by it only where both came to the same.
        if each.id == each.entry_id:
            assert refund(each.id).entry.reverses_id == each.entry_id
        else:
            with pytest.raises(ChargeNotFound):
                refund(each.id)
    with pytest.raises(RefundExceedsCharge):
        refund(free.id)
    assert findings() == []


def _hold_as_before(user, credits):
    """Open a hold by the function of the release before, as its service did."""
    outcome = call(
        "ledger_open_hold",
        p_user_id=user.pk,
        p_credits=Decimal(credits),
        p_seconds=900,
        p_reference=None,
        p_metadata=Jsonb({}),
        p_idempotency_key="between",
        p_fingerprint=fingerprint({}),
    )
    return outcome.hold_id


def test_no_id_is_given_twice(upgrade, alice):
    first = charge(alice)
    upgrade.take_back()
    between = [charge(alice) for _ in range(5)]
    report(alice, [request_at(MARCH) for _ in range(30)], charged=True)
    upgrade.make()
    afterwards = [charge(alice), charge(alice, "free"), charge(alice)]

    charges = [each.id for each in (first, *between, *afterwards)]
    assert len(set(charges)) == len(charges)
    for model in (Entry, RequestLog):
        ids = list(model.objects.values_list("pk", flat=True))
        assert len(set(ids)) == len(ids)
        assert max(ids) <= afterwards[-1].id
    assert refund(afterwards[-1].id).entry.reverses_id == afterwards[-1].entry_id
    assert findings() == []


def test_everything_works_afterwards(upgrade, alice):
    upgrade.take_back()
    upgrade.make()

    paid = charge(alice)
    part = captured(held(alice).hold)
    refund(paid.id)
    refund(part.entry_id)
    record_events([event(alice, "2")], now=NOW)
    key = limited_key(alice, 5)
    key.charge(4)
    assert key.left == 1
    assert findings() == []
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_serial_sequence('usage_requestlog', 'id')")
        assert cursor.fetchone() == (None,)


def test_events_that_were_taken_before_are_not_taken_again(upgrade, alice):
    record_events([event(alice)], now=NOW)

    upgrade.take_back()
    upgrade.make()

    assert [result.status for result in record_events([event(alice), event(alice, "2")], now=NOW)] == [
        "duplicate", "accepted",
    ]  # fmt: skip
    assert EventKey.objects.count() == 2


def test_keys_that_were_rotated_know_their_original_again(upgrade, alice):
    key = ApiKeyFactory(user=alice).api_key
    chain = [key]
    for _ in range(3):
        grace = dt.timedelta(days=1)
        chain.append(rotate_own_key(user_id=alice.pk, key_id=chain[-1].pk, grace=grace, now=timezone.now()).api_key)

    upgrade.take_back()
    upgrade.make()

    originals = dict(ApiKey.objects.filter(pk__in=[each.pk for each in chain]).values_list("pk", "original_id"))
    assert originals == {chain[0].pk: None} | dict.fromkeys((each.pk for each in chain[1:]), key.pk)


def test_what_a_key_spent_before_counts_when_it_is_limited_again(upgrade):
    prices()
    bob = customer_with(100)
    key = limited_key(bob, 10)
    key.charge(3)
    upgrade.take_back()
    upgrade.make()

    limit(key, 10)

    assert key.left == 7
