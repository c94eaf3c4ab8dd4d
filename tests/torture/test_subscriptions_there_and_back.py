"""A release with subscriptions that is taken back and made again: nothing is brought twice, and nobody is stuck."""

import pytest
from django.core.management import call_command

from ledger.models import SubscriptionPeriod
from ledger.selectors import balance_of
from tests.factories import UserFactory
from tests.ledger.lots import left
from tests.ledger.subscribing import cancel, let_time_pass, plan, subscribe, subscription_of
from tests.usage.metering import charge
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])


@pytest.fixture
def taken_back(transactional_db):
    """Take the ledger's part of it back, or make it again."""

    def migrate(*to):
        call_command("migrate", *to, verbosity=0)

    yield migrate
    migrate()


@pytest.mark.parametrize("cap", [0, 30, None])
def test_a_subscription_is_a_record_afterwards_and_its_credits_are_lots_as_any(taken_back, cap):
    alice = UserFactory(email="alice@example.com")
    subscribe(alice, to := plan(100, cap=cap))
    charge(alice, credits=10)

    taken_back("ledger", "0017")
    charge(alice, credits=10)
    assert balance_of(user_id=alice.pk).balance == 80
    taken_back()

    assert (subscription_of(alice).anchor_at, SubscriptionPeriod.objects.count()) == (None, 0)
    charge(alice, credits=10)
    let_time_pass(alice, months=1)
    left(alice)
    stays = {0: 0, 30: 30, None: 70}[cap]
    assert balance_of(user_id=alice.pk).balance == stays
    cancel(alice)
    subscribe(alice, to)
    assert balance_of(user_id=alice.pk).balance == stays + 100
    assert reconcile(Scope())[1] == []
