import pytest

from ledger.models import Entry
from ledger.selectors import balance_of
from tests.factories import UserFactory
from tests.ledger.running import run
from tests.ledger.subscribing import let_time_pass, plan, spans, subscribe
from tests.ledger.tampering import tamper
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice():
    """Create a customer who missed two periods."""
    alice = UserFactory(email="alice@example.com")
    subscribe(alice, plan(100))
    let_time_pass(alice, months=2)
    return alice


def test_missed_periods_are_begun_in_order_and_others_left_alone(alice):
    subscribe(UserFactory(), plan(100))

    ran = run("renew_subscriptions", "--json")

    assert (ran.code, ran.json) == (0, {"due": 1, "periods": 2, "failed": 0, "dry_run": False})
    assert len(spans(alice)) == 3
    assert reconcile(Scope())[1] == []


def test_a_dry_run_counts_and_begins_nothing(alice):
    assert run("renew_subscriptions", "--dry-run", "--json").json["due"] == 1
    assert len(spans(alice)) == 1


def test_a_second_run_finds_nothing(alice):
    run("renew_subscriptions")

    assert run("renew_subscriptions", "--json").json["due"] == 0


def test_a_run_accepts_one_customer(alice):
    bob = UserFactory(email="bob@example.com")
    subscribe(bob, plan(100))
    let_time_pass(bob, months=1)

    ran = run("renew_subscriptions", "--user", "bob@example.com", "--json")

    assert ran.json == {"due": 1, "periods": 1, "failed": 0, "dry_run": False}
    assert len(spans(alice)) == 1
    assert run("renew_subscriptions", "--user", "nobody@example.com").code == 1


def test_a_failure_of_one_customer_does_not_stop_the_others(alice):
    bob = UserFactory(email="bob@example.com")
    subscribe(bob, plan(100))
    let_time_pass(bob, months=1)
    tamper(f"ALTER TABLE accounts_subscription ADD CONSTRAINT broken CHECK (user_id <> {alice.pk}) NOT VALID")
    try:
        ran = run("renew_subscriptions", "--json")
    finally:
        tamper("ALTER TABLE accounts_subscription DROP CONSTRAINT broken")

    assert ran.code == 1
    assert ran.json == {"due": 2, "periods": 1, "failed": 1, "dry_run": False}
    assert f"Customer {alice.pk}" in ran.err
    assert ran.err.endswith(f"1 customer could not be served: {alice.pk}.")
    assert (len(spans(alice)), len(spans(bob))) == (1, 2)
    assert balance_of(user_id=bob.pk).available == 100
    assert run("renew_subscriptions", "--json").json["periods"] == 2


def test_expire_grants_renews_subscriptions_too(alice):
    run("expire_grants")

    assert Entry.objects.filter(operation="subscription").count() == 3
