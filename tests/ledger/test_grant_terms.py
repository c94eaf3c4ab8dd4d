"""Grants that staff end early or let stay longer: what was drawn stays, what comes follows the new end."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import psycopg
import pytest
from django.db import IntegrityError, connection, transaction
from django.db.utils import ProgrammingError
from django.utils import timezone

from ledger import errors
from ledger.models import Entry, EntryReason, Grant, GrantDraw, GrantTermsChange
from ledger.selectors import balance_of
from ledger.services.grant_terms import end_grant, extend_grant
from ledger.services.holds import release_hold
from ledger.services.payments.reversals import note_refund
from tests.accounts.races import at_once
from tests.factories import customer_with
from tests.ledger.granting import end, ended, extended, granted, left
from tests.ledger.paying import bought
from tests.ledger.posting import freeze, hold
from tests.ledger.races import before_it_commits
from tests.ledger.tampering import unguarded
from tests.usage.metering import captured, charge, refund
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture(autouse=True)
def _books_are_right(transactional_db):
    yield
    assert reconcile(Scope())[1] == []


def available(user):
    return balance_of(user_id=user.pk).available


def expiries(user):
    entries = Entry.objects.of(user.pk).filter(reason=EntryReason.EXPIRY).order_by("seq")
    return [(entry.amount, entry.description, entry.actor_id) for entry in entries]


def ends_of(grant):
    return Grant.objects.get(pk=grant.pk).expires_at


class TestEnding:
    def test_expires_what_is_left_at_once_with_the_reason_and_who_gave_it(self, bob, clerk):
        grant, other = granted(bob, 50, days=5), granted(bob, 7, days=9)
        charge(bob, credits=20)

        changed = ended(grant, note="Given to the wrong customer", actor_id=clerk.pk)

        assert expiries(bob) == [(-30, "Given to the wrong customer", clerk.pk)]
        assert available(bob) == 7
        assert (changed.change.kind, changed.change.credits, changed.is_replay) == ("end", 30, False)
        assert left(bob) == {grant.pk: 0, other.pk: 7}

    def test_ends_a_grant_that_would_have_stayed_for_ever(self, alice, clerk):
        grant = Entry.objects.get(user=alice)  # with the usual terms: no row of its own until it is settled

        changed = ended(grant)

        assert changed.change.expires_before is None
        assert available(alice) == 0

    def test_leaves_to_open_holds_what_they_reserve_until_they_end(self, bob):
        grant = granted(bob, 50, days=5)
        kept, given_up = hold(bob, 10).hold, hold(bob, 15).hold

        ended(grant, note="Over")
        between = expiries(bob)
        captured(kept)
        release_hold(hold_id=given_up.pk, idempotency_key="r")

        assert [amount for amount, *_ in between] == [-25]
        assert [(amount, note) for amount, note, _ in expiries(bob)] == [(-25, "Over"), (-15, "Over")]
        assert balance_of(user_id=bob.pk).balance == 0

    def test_does_not_touch_what_was_drawn_before(self, bob):
        """The grant that is ended was to be spent last: charges before that drew on the other one."""
        first, last = granted(bob, 10, days=1), granted(bob, 10, days=9)
        charge(bob, credits=4)

        ended(last)

        assert left(bob) == {first.pk: 6, last.pk: 0}
        assert list(GrantDraw.objects.filter(user=bob, credits=4).values_list("grant_id", flat=True)) == [first.pk]

    def test_makes_a_later_refund_to_the_grant_expire_at_once(self, bob):
        grant = granted(bob, 10, days=5)
        charged = charge(bob, credits=4)
        ended(grant, note="Over")

        refund(charged.id, 3)

        assert [amount for amount, *_ in expiries(bob)] == [-6, -3]
        assert available(bob) == 0

    def test_of_paid_credits_leaves_their_refund_to_what_else_there_is(self, bob):
        payment = bought(bob, "fake_card_approve")
        ended(Entry.objects.get(pk=payment.entry_id))

        note_refund(payment_id=payment.pk, refunded_minor=1250, now=timezone.now())

        payment.refresh_from_db()
        assert payment.credits_owed == 1000

    def test_works_on_a_frozen_balance(self, bob):
        grant = granted(bob, 10, days=5)
        freeze(bob)

        ended(grant)

        assert available(bob) == 0

    def test_of_a_grant_that_has_ended_or_is_used_or_not_theirs_is_refused(self, bob):
        gone, used, theirs = granted(bob, 1, days=1), granted(bob, 2, days=2), granted(customer_with(5), 1, days=1)
        end(gone)
        charge(bob, credits=2)

        for grant, refusal in ((gone, errors.GrantHasEnded), (used, errors.GrantIsUsed)):
            with pytest.raises(refusal):
                ended(grant)
        theirs.user_id = bob.pk
        with pytest.raises(errors.GrantNotFound):
            ended(theirs)
        assert not GrantTermsChange.objects.exists()

    def test_again_with_its_key_returns_the_change_and_another_grant_is_refused(self, bob, clerk):
        grant, other = granted(bob, 10, days=5), granted(bob, 10, days=6)
        first = ended(grant, idempotency_key="one", actor_id=clerk.pk)

        again = ended(grant, idempotency_key="one", actor_id=clerk.pk)

        assert (again.change.pk, again.is_replay) == (first.change.pk, True)
        with pytest.raises(errors.IdempotencyKeyReused):
            ended(other, idempotency_key="one", actor_id=clerk.pk)
        assert available(bob) == 10


class TestExtending:
    def test_lets_what_is_left_stay_and_be_spent_after_what_ends_sooner(self, bob):
        grant, other = granted(bob, 10, days=1), granted(bob, 10, days=2)
        charge(bob, credits=4)

        extended(grant, days=5)
        charge(bob, credits=3)

        assert left(bob) == {grant.pk: 6, other.pk: 7}

    def test_counts_from_the_old_end_on_whether_or_not_a_job_has_run(self, bob):
        grant = granted(bob, 10, days=1)

        extended(grant, days=1)
        with unguarded() as owner:  # the old end comes, which the balance still expects
            owner.execute("UPDATE ledger_balance SET next_expiry_at = now() WHERE user_id = %s", [bob.pk])

        assert available(bob) == 10
        assert charge(bob, credits=10).id

    def test_keeps_each_change_and_a_grant_may_be_ended_after_it(self, bob):
        grant = granted(bob, 10, days=1)
        before = ends_of(grant)

        extended(grant, days=1)
        extended(grant, days=2)
        ended(grant)

        changes = GrantTermsChange.objects.filter(grant_id=grant.pk).order_by("pk")
        assert [change.kind for change in changes] == ["extend", "extend", "end"]
        assert [change.expires_before for change in changes] == [
            before, before + dt.timedelta(days=1), before + dt.timedelta(days=3),
        ]  # fmt: skip
        assert available(bob) == 0

    @pytest.mark.parametrize("days", [0, -0.5])
    def test_to_an_end_that_is_not_later_is_refused(self, bob, days):
        grant = granted(bob, 10, days=1)

        with pytest.raises(errors.GrantEndsLater):
            extended(grant, days=days)

    def test_of_a_grant_that_stays_for_ever_is_refused(self, alice, clerk):
        grant = Entry.objects.get(user=alice)

        with pytest.raises(errors.GrantEndsLater):
            extend_grant(
                user_id=alice.pk, grant_id=grant.pk, expires_at=timezone.now() + dt.timedelta(days=9), note="x",
                actor_id=clerk.pk, idempotency_key="k",
            )  # fmt: skip

    def test_of_a_grant_that_has_ended_is_refused(self, bob):
        grant = granted(bob, 10, days=1)
        end(grant)

        with pytest.raises(errors.GrantHasEnded):
            extended(grant, days=5)
        assert available(bob) == 0


class TestRaces:
    def test_a_charge_after_the_end_has_begun_finds_nothing_left(self, bob):
        grant = granted(bob, 10, days=1)

        _, outcome = before_it_commits(lambda: ended(grant), lambda: refused_charge(bob))

        assert isinstance(outcome, errors.InsufficientCredits)
        assert [amount for amount, *_ in expiries(bob)] == [-10]

    def test_an_end_after_a_charge_has_begun_takes_what_that_leaves(self, bob):
        grant = granted(bob, 10, days=1)

        before_it_commits(lambda: charge(bob, credits=4), lambda: ended(grant))

        assert [amount for amount, *_ in expiries(bob)] == [-6]

    def test_a_grant_ended_by_sixteen_at_once_ends_once(self, bob, clerk):
        grant = granted(bob, 10, days=1)

        outcomes = at_once(16, lambda: ended(grant, actor_id=clerk.pk))

        assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 1
        assert {type(one) for one in outcomes if isinstance(one, Exception)} == {errors.GrantHasEnded}
        assert [amount for amount, *_ in expiries(bob)] == [-10]

    def test_charges_an_end_and_extensions_at_once_leave_books_in_order(self, bob, clerk):
        grants = [granted(bob, 20, days=days) for days in (1, 2, 3)]
        calls = iter([
            *[lambda: refused_charge(bob)] * 10,
            lambda: ended(grants[0], actor_id=clerk.pk), lambda: ended(grants[2], actor_id=clerk.pk),
            *[lambda: extended(grants[1], days=1, actor_id=clerk.pk)] * 4,
        ])  # fmt: skip

        at_once(16, lambda: next(calls)())

        assert sum(left(bob).values(), Decimal(0)) == balance_of(user_id=bob.pk).balance


def refused_charge(user):
    try:
        return charge(user, credits=5)
    except errors.InsufficientCredits as refusal:
        return refusal


class TestTheGuards:
    def test_the_application_writes_changes_by_the_function_alone(self, bob):
        ended(granted(bob, 10, days=1))

        for statement in (
            "UPDATE ledger_granttermschange SET note = 'another'",
            "DELETE FROM ledger_granttermschange",
            "UPDATE ledger_grant SET expires_at = now() + interval '9 days'",
        ):
            with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
                connection.cursor().execute(statement)

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE ledger_granttermschange SET note = 'another'",
            "DELETE FROM ledger_granttermschange",
            "UPDATE ledger_grant SET expires_at = now() + interval '99 days' WHERE NOT has_run_out",
            "UPDATE ledger_grant SET expires_at = NULL WHERE NOT has_run_out",
        ],
    )
    def test_even_the_owner_cannot_change_an_end_without_a_record(self, bob, owner, statement):
        extended(granted(bob, 10, days=1), days=1)

        with pytest.raises(psycopg.errors.RestrictViolation, match="is refused"):
            owner.execute(statement)


def test_an_end_without_a_reason_is_refused_by_the_database(bob, clerk):
    grant = granted(bob, 10, days=1)

    with pytest.raises(IntegrityError, match="grant_terms_change_says_why"):
        end_grant(user_id=bob.pk, grant_id=grant.pk, note="", actor_id=clerk.pk, idempotency_key="k")
