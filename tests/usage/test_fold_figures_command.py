"""The figures of the front page: what the ledger and the daily sums say, folded by a job."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from config.rounds import Round
from ledger.models import Balance, EntryReason, GrantCategory
from ledger.services.grants import GrantTerms, grant_credits, open_grant, settle_grants
from ledger.services.holds import open_hold
from tests.factories import StaffFactory, UserFactory, give
from tests.ledger.running import run
from tests.usage.histories import eventful, prices
from tests.usage.metering import charge, price, report, request_at
from usage.models import CustomerFigures, DayFigures, EndpointFigures
from usage.services.figures import customers as counting
from usage.services.figures.folding import fold_figures
from usage.services.figures.windows import window_of
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db


def fold(now=None):
    customers = Round()
    folded = fold_figures(now=now or timezone.now(), customers=customers)
    assert customers.failure is None
    return folded


def today():
    return DayFigures.objects.latest("day")


def buyer(amount):
    """Make a customer who has bought so many credits."""
    user = UserFactory()
    grant_credits(
        user_id=user.pk, amount=Decimal(amount), reason=EntryReason.PURCHASE, reference="", idempotency_key="bought"
    )
    return user


def granted(user, amount, *, category=GrantCategory.PROMOTIONAL, **terms):
    return open_grant(
        user_id=user.pk, amount=Decimal(amount), reason=EntryReason.GRANT, description="x", operation="grant",
        idempotency_key=f"{amount} {category}", terms=GrantTerms(category=category, **terms),
    )  # fmt: skip


def figures_of(user):
    found = CustomerFigures.objects.get(user=user)
    return found.paid, found.promotional


def found():
    return [finding for finding in reconcile(Scope())[1] if finding.check.startswith("figures_")]


class TestCreditsOutstanding:
    def test_paid_and_promotional_credits_are_told_apart(self):
        price("search", 30)
        alice = buyer(100)
        granted(alice, 50)
        charge(alice)  # promotional credits are spent first

        fold()

        assert figures_of(alice) == (100, 20)
        assert (today().paid, today().promotional) == (100, 20)

    def test_what_is_overdrawn_is_owed_in_paid_credits(self):
        prices()
        alice = eventful("alice@example.com")

        fold()

        assert sum(figures_of(alice)) == Balance.objects.get(user=alice).balance

    def test_credits_that_have_expired_are_gone_before_an_entry_says_so(self):
        alice = buyer(10)
        granted(alice, 50, expires_at=timezone.now() + dt.timedelta(days=1))
        fold()
        before = figures_of(alice)

        fold(timezone.now() + dt.timedelta(days=2))

        assert (before, figures_of(alice)) == ((10, 50), (10, 0))
        assert found() == []

    def test_they_agree_with_the_grants_once_these_are_settled(self):
        prices()
        alice = eventful("alice@example.com")
        granted(alice, 7)
        fold()
        unsettled = figures_of(alice)

        settle_grants(user_id=alice.pk)

        assert found() == []
        CustomerFigures.objects.update(seq=None)
        fold()
        assert figures_of(alice) == unsettled

    def test_only_customers_whose_credits_moved_are_counted_again(self):
        alice, bob = buyer(1), buyer(2)
        first = fold()
        give(alice, 5)

        again, third = fold(), fold()

        assert (first.customers, again.customers, third.customers) == (2, 1, 0)
        assert (today().paid, today().promotional) == (3, 5)
        assert bob.pk in CustomerFigures.objects.values_list("pk", flat=True)

    def test_a_run_that_has_no_more_time_says_how_many_are_behind_and_the_next_goes_on(self, monkeypatch):
        customers = [buyer(1) for _ in range(3)]
        monkeypatch.setattr(counting, "MOST_SECONDS", 0)
        stopped = fold()
        monkeypatch.undo()

        behind, went_on = today().behind, fold()

        assert (stopped.customers, behind) == (0, 3)
        assert (went_on.customers, today().behind) == (len(customers), 0)

    def test_one_customer_who_cannot_be_counted_keeps_no_other_waiting(self, monkeypatch):
        alice, bob = buyer(1), buyer(2)
        count = counting._count

        def fails_for_alice(users, now):
            if alice.pk in users:
                raise OSError("broken")
            return count(users, now)

        monkeypatch.setattr(counting, "_count", fails_for_alice)
        customers = Round(say=lambda _: None)
        fold_figures(now=timezone.now(), customers=customers)

        assert list(customers.failed) == [alice.pk]
        assert figures_of(bob) == (2, 0)
        assert today().behind == 1

    def test_reserved_credits_are_those_of_holds_that_have_not_expired(self):
        alice = buyer(100)
        for number, seconds in enumerate((900, 1)):
            open_hold(user_id=alice.pk, credits=Decimal(30), expires_in_seconds=seconds, idempotency_key=f"h{number}")
        UserFactory()

        fold(timezone.now() + dt.timedelta(seconds=60))

        assert today().reserved == 30


class TestDays:
    def test_what_was_sold_and_spent_is_in_its_day(self):
        price("search", 2, effective_from=timezone.now() - dt.timedelta(days=9))
        alice = buyer(100)
        charge(alice)
        charge(alice, status=500)
        report(alice, [request_at(timezone.now() - dt.timedelta(days=3))], charged=True)

        fold()

        now = timezone.now().astimezone(dt.UTC).date()
        assert (today().day, today().sold, today().spent, today().requests, today().failed) == (now, 100, 2, 2, 1)
        assert DayFigures.objects.get(day=now - dt.timedelta(days=3)).requests == 1
        assert DayFigures.objects.count() == (now - window_of(now)[0]).days + 1

    def test_repeating_it_changes_nothing_and_a_pause_is_caught_up(self):
        price("search", 2)
        alice = buyer(100)
        for _ in range(3):
            charge(alice)
        fold()
        made = list(DayFigures.objects.order_by("day").values("day", "sold", "spent", "requests", "paid"))
        fold()
        again = list(DayFigures.objects.order_by("day").values("day", "sold", "spent", "requests", "paid"))
        DayFigures.objects.all().delete()
        EndpointFigures.objects.all().delete()
        CustomerFigures.objects.all().delete()

        fold()

        assert made == again
        assert list(DayFigures.objects.order_by("day").values("day", "sold", "spent", "requests", "paid")) == made

    def test_a_request_that_is_reported_late_changes_the_figures_of_its_day(self):
        price("search", 2, effective_from=timezone.now() - dt.timedelta(days=40))
        alice, at = buyer(100), timezone.now() - dt.timedelta(days=20)
        fold()

        report(alice, [request_at(at)], charged=True)
        fold()

        assert EndpointFigures.objects.get().day == at.astimezone(dt.UTC).date()

    def test_sums_that_are_gone_are_gone_from_the_figures(self):
        EndpointFigures.objects.create(day=timezone.now().date(), endpoint="gone", requests=1, failed=0, credits=1)

        fold()

        assert not EndpointFigures.objects.exists()

    def test_new_customers_are_counted_without_staff(self):
        UserFactory()
        StaffFactory()

        fold()

        assert today().new_customers == 1

    def test_a_customer_is_lost_thirty_days_after_the_last_request(self):
        price("search", 0, effective_from=timezone.now() - dt.timedelta(days=99))
        alice, bob = buyer(1), buyer(1)
        now = timezone.now()
        report(alice, [request_at(now - dt.timedelta(days=30))])
        report(bob, [request_at(now - dt.timedelta(days=30)), request_at(now - dt.timedelta(days=2))])

        fold(now)

        assert today().lost_customers == 1


class TestReconciliation:
    @pytest.mark.parametrize(
        ("statement", "check"),
        [
            ("UPDATE usage_endpointfigures SET credits = credits + 1", "figures_are_the_sums"),
            ("UPDATE usage_endpointfigures SET requests = requests + 1", "figures_are_the_sums"),
            ("DELETE FROM usage_endpointfigures", "figures_are_the_sums"),
            ("UPDATE usage_customerfigures SET paid = paid + 1", "figures_are_the_credits"),
            (
                "UPDATE usage_customerfigures SET paid = paid - 1, promotional = promotional + 1",
                "figures_are_the_grants",
            ),
        ],
    )
    def test_figures_that_were_altered_are_found(self, statement, check):
        price("search", 2, effective_from=timezone.now() - dt.timedelta(days=40))
        alice = buyer(100)
        report(alice, [request_at(timezone.now() - dt.timedelta(days=5))], charged=True)
        settle_grants(user_id=alice.pk)
        later = timezone.now() + dt.timedelta(minutes=20)  # nothing was logged shortly before the fold
        fold(later)
        before = found()

        with connection.cursor() as cursor:
            cursor.execute(statement)

        assert before == []
        assert {finding.check for finding in found()} == {check}

    def test_what_was_logged_since_the_fold_is_no_finding(self):
        price("search", 2)
        alice = buyer(100)
        fold()

        charge(alice)

        assert found() == []

    def test_before_the_first_fold_there_is_nothing_to_find(self):
        price("search", 2)
        charge(buyer(100))

        assert found() == []


def test_the_command_says_what_it_has_done():
    buyer(1)

    ran = run("fold_figures", "--json")

    assert (ran.code, ran.json["customers"], ran.json["behind"], ran.json["failed"]) == (0, 1, 0, 0)
