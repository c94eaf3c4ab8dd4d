"""`manage.py expire_holds`: the command that settles expired holds.

A hold of 0 seconds has expired already; the next hold of the same customer would settle it.
"""

import pytest
from django.db import connections, transaction

from ledger.models import Balance, Hold, HoldStatus
from ledger.models.balance import NEVER
from ledger.selectors import balance_of
from ledger.services.holds import expire_holds
from tests.accounts.races import at_once
from tests.factories import UserFactory, customer_with
from tests.ledger.posting import hold, post, run_out
from tests.ledger.running import run
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db


def statuses(user):
    return sorted(Hold.objects.filter(user=user).values_list("status", flat=True))


@pytest.mark.django_db(transaction=True)
def test_expired_holds_of_all_customers_are_settled_and_open_ones_stay(alice):
    bob = customer_with(50)
    still_open = hold(alice, 7).hold
    run_out(*[hold(user, 5).hold for user in (alice, alice, bob)])
    UserFactory()

    ran = run("expire_holds", "--json")

    assert (ran.code, ran.json) == (0, {"holds": 3, "customers": 2, "failed": 0, "dry_run": False})
    assert statuses(alice) == [HoldStatus.EXPIRED, HoldStatus.EXPIRED, HoldStatus.OPEN]
    assert Balance.objects.get(user=alice).reserved == 7
    assert Balance.objects.get(user=alice).next_expiry_at == still_open.expires_at
    assert Balance.objects.get(user=bob).next_expiry_at == NEVER
    assert reconcile(Scope())[1] == []


def test_a_run_does_not_change_what_customers_see(alice):
    hold(alice, 5, seconds=0)
    before = balance_of(user_id=alice.pk)

    run("expire_holds")

    assert balance_of(user_id=alice.pk) == before


def test_a_settled_hold_shows_its_expiry_and_not_the_time_of_settlement(alice):
    opened = hold(alice, 5, seconds=0).hold

    run("expire_holds")

    assert Hold.objects.get(pk=opened.pk).settled_at == opened.expires_at


def test_a_dry_run_counts_and_settles_nothing(alice):
    hold(alice, 5, seconds=0)

    ran = run("expire_holds", "--dry-run", "--json")

    assert ran.json == {"holds": 1, "customers": 1, "failed": 0, "dry_run": True}
    assert statuses(alice) == [HoldStatus.OPEN]


def test_a_second_run_finds_nothing(alice):
    hold(alice, 5, seconds=0)
    run("expire_holds")

    assert run("expire_holds", "--json").json == {"holds": 0, "customers": 0, "failed": 0, "dry_run": False}


@pytest.mark.django_db(transaction=True)
def test_each_hold_is_settled_once_by_many_runs_at_once():
    alice = customer_with(100)
    run_out(*[hold(alice, 1).hold for _ in range(20)])

    outcomes = at_once(8, lambda: expire_holds(user_id=alice.pk))

    assert sorted(outcomes) == [0] * 7 + [20]
    assert Balance.objects.get(user=alice).reserved == 0
    assert reconcile(Scope())[1] == []


@pytest.mark.django_db(transaction=True)
def test_a_run_among_entries_and_new_holds_keeps_every_promise():
    alice = customer_with(100)

    def work():
        for turn in range(6):
            hold(alice, 1, seconds=turn % 2)
            expire_holds(user_id=alice.pk)
            post(alice, -1)

    assert at_once(6, work) == [None] * 6
    assert reconcile(Scope())[1] == []


@pytest.mark.django_db(transaction=True)
def test_a_customer_who_is_being_served_does_not_hold_up_the_others():
    alice, bob = customer_with(10), customer_with(10)
    for user in (alice, bob):
        hold(user, 1, seconds=0)
    other = connections.create_connection("default")

    with transaction.atomic():
        post(alice, 1)  # locks the row, and settles what had expired, until this transaction ends
        other.connect()
        with other.cursor() as cursor:
            cursor.execute("SELECT ledger_expire_holds(%s)", [bob.pk])
            assert cursor.fetchone() == (1,)
    other.close()

    assert statuses(bob) == [HoldStatus.EXPIRED]
