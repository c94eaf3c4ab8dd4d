import pytest

from ledger.models import Entry, GrantProgress
from tests.factories import UserFactory, customer_with
from tests.ledger.granting import end, granted
from tests.ledger.running import run
from tests.usage.metering import charge
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice(transactional_db):
    """Create a customer with two grants that are due and not settled yet."""
    alice = UserFactory(email="alice@example.com")
    end(granted(alice, 5, days=1), granted(alice, 6, days=1))
    return alice


def test_due_grants_expire_and_the_debits_of_others_are_settled(alice):
    bob = customer_with(5)
    granted(bob, 5, days=1)
    charge(bob, credits=2)
    customer_with(5)

    ran = run("expire_grants", "--json")

    assert (ran.code, ran.json) == (0, {"expiries": 2, "customers": 1, "failed": 0, "dry_run": False})
    assert Entry.objects.filter(reason="expiry", user=alice).count() == 2
    assert set(GrantProgress.objects.values_list("user_id", "seq")) == {(alice.pk, 4), (bob.pk, 3)}
    assert reconcile(Scope())[1] == []


def test_a_dry_run_counts_and_settles_nothing(alice):
    ran = run("expire_grants", "--dry-run", "--json")

    assert ran.json == {"expiries": 2, "customers": 1, "failed": 0, "dry_run": True}
    assert not Entry.objects.filter(reason="expiry").exists()


def test_a_second_run_finds_nothing(alice):
    run("expire_grants")

    assert run("expire_grants", "--json").json == {"expiries": 0, "customers": 0, "failed": 0, "dry_run": False}


def test_expire_holds_settles_grants_too(alice):
    run("expire_holds")

    assert Entry.objects.filter(reason="expiry").count() == 2
