"""Starting a subscription: which periods it has, and which credits each brings."""

import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone

from ledger.models import Entry, Grant, SubscriptionChange
from ledger.selectors import balance_of
from tests.factories import UserFactory, customer_with
from tests.ledger.subscribing import YEARLY, plan, spans, subscribe
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db


def at(text):
    return dt.datetime.fromisoformat(text).replace(tzinfo=dt.UTC)


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


def test_the_first_period_brings_its_credits_at_once(alice):
    before = timezone.now()

    subscription = subscribe(alice, plan(1000, code="growth", name="Growth"))

    assert balance_of(user_id=alice.pk).available == 1000
    entry, grant, change = Entry.objects.get(), Grant.objects.get(), SubscriptionChange.objects.get()
    assert (entry.type, entry.reason, entry.amount, entry.operation) == ("credit", "grant", 1000, "subscription")
    assert entry.metadata["plan"] == "growth"
    assert (grant.category, grant.expires_at) == ("paid", subscription.current_period_end)
    assert before <= subscription.anchor_at == subscription.current_period_start <= timezone.now()
    assert subscription.next_grant_at == subscription.current_period_end
    assert (subscription.status, change.kind, change.subscription_id) == ("active", "start", subscription.pk)
    assert reconcile(Scope())[1] == []


def test_months_are_counted_from_the_anchor_and_end_where_the_month_does(alice):
    subscribe(alice, plan(), starts_at=at("2024-10-31T12:30:00"))

    assert [start for start, *_ in spans(alice)][:6] == [
        at("2024-10-31T12:30:00"),
        at("2024-11-30T12:30:00"),
        at("2024-12-31T12:30:00"),
        at("2025-01-31T12:30:00"),
        at("2025-02-28T12:30:00"),
        at("2025-03-31T12:30:00"),
    ]


def test_a_year_from_a_leap_day_ends_on_the_28th_until_the_next_leap_year(alice):
    subscribe(alice, plan(credits_per_year=Decimal(12000)), YEARLY, starts_at=at("2020-02-29"))

    assert [start for start, *_ in spans(alice)][:5] == [
        at("2020-02-29"), at("2021-02-28"), at("2022-02-28"), at("2023-02-28"), at("2024-02-29"),
    ]  # fmt: skip
    assert {credits for *_, credits in spans(alice)} == {Decimal(12000)}


def test_missed_periods_come_in_order_each_with_its_own_end(alice):
    subscribe(alice, plan(100), starts_at=timezone.now() - dt.timedelta(days=65))

    entries = list(Entry.objects.order_by("seq").values_list("reason", "amount", "balance_after"))
    assert entries == [
        ("grant", 100, 100), ("expiry", -100, 0), ("grant", 100, 100), ("expiry", -100, 0), ("grant", 100, 100),
    ]  # fmt: skip
    assert balance_of(user_id=alice.pk).available == 100
    assert [(start, end) for start, end, _ in spans(alice)][1][0] == spans(alice)[0][1]
    assert reconcile(Scope())[1] == []


def test_credits_of_other_grants_are_never_touched():
    bob = customer_with(50)

    subscribe(bob, plan(100), starts_at=timezone.now() - dt.timedelta(days=65))

    assert balance_of(user_id=bob.pk).available == 150
