"""Adjustments that staff ask for: at once within limits, else with a second person."""

from decimal import Decimal

import pytest

from accounts.models import Notice
from ledger import adjustment_errors, errors
from ledger.models import AdjustmentDay, AdjustmentReason, AdjustmentRequest, AdjustmentState, Entry, OffReason
from ledger.selectors import balance_of
from tests.backoffice import staff_with, superuser
from tests.factories import StaffFactory, customer_with
from tests.ledger.adjusting import approve, ask, limited, reject, withdraw
from tests.ledger.posting import freeze
from tests.ledger.reloading import agreed
from tests.ledger.tampering import unguarded
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return customer_with(100)


@pytest.fixture
def clerk():
    return limited(StaffFactory(), single=50, daily=120)


@pytest.fixture
def boss():
    return staff_with("ledger.approve_adjustment")


def adjustments(user):
    return Entry.objects.of(user.pk).filter(operation="adjustment")


class TestWithinLimits:
    def test_an_adjustment_is_posted_at_once_and_kept(self, alice, clerk):
        outcome = ask(alice, 50, by=clerk, note="Sorry", reference="T-17")

        entry, request = outcome.entry, outcome.request
        assert (entry.amount, entry.type, entry.reason, entry.description) == (50, "adjustment", "goodwill", "Sorry")
        assert (entry.reference, entry.actor_id, entry.metadata) == ("T-17", clerk.pk, {"adjustment_id": request.pk})
        assert (request.state, request.second_person_because, request.decided_by) == ("approved", None, None)
        assert (request.balance_before, request.entry_id) == (100, entry.pk)
        assert reconcile(Scope())[1] == []

    def test_gains_and_losses_of_a_day_add_up(self, alice, clerk):
        ask(alice, 50, by=clerk)
        ask(alice, -50, by=clerk)

        outcomes = [ask(alice, amount, by=clerk) for amount in (21, -20, "0.000001")]

        assert [outcome.entry is not None for outcome in outcomes] == [False, True, False]
        assert outcomes[0].request.second_person_because == "daily"
        assert AdjustmentDay.objects.get().credits == 120

    @pytest.mark.django_db(transaction=True)
    def test_the_next_day_begins_at_nothing(self, alice, clerk):
        ask(alice, 50, by=clerk)
        ask(alice, 50, by=clerk)
        with unguarded() as connection:  # a day passes
            connection.execute("UPDATE ledger_adjustmentday SET day = day - 1")
            connection.execute("UPDATE ledger_adjustmentrequest SET created_at = created_at - interval '1 day'")

        assert [ask(alice, 50, by=clerk).entry is not None for _ in range(3)] == [True, True, False]
        assert reconcile(Scope())[1] == []

    def test_the_most_generous_of_several_groups_applies(self, alice, clerk):
        limited(clerk, single=10, daily=1000)

        assert ask(alice, 50, by=clerk).entry is not None
        assert ask(alice, 51, by=clerk).request.second_person_because == "single"
        assert ask(alice, 50, by=clerk).entry is not None
        assert ask(alice, 50, by=clerk).entry is not None

    def test_the_sites_limits_apply_to_whoever_has_none_superusers_included(self, alice, settings):
        settings.ADJUSTMENT_LIMIT, settings.ADJUSTMENT_LIMIT_PER_DAY = Decimal(10), Decimal(15)
        root = superuser()

        assert ask(alice, 11, by=root).request.second_person_because == "single"
        assert ask(alice, 10, by=root).entry is not None
        assert ask(alice, 6, by=root).request.second_person_because == "daily"

    def test_a_limit_of_zero_leaves_nothing_to_one_person(self, alice):
        clerk = limited(StaffFactory(), single=0, daily=0)

        assert ask(alice, "0.000001", by=clerk).request.second_person_because == "single"

    def test_a_repeated_key_returns_the_request_and_another_payload_is_refused(self, alice, clerk):
        first = ask(alice, 5, by=clerk, idempotency_key="k")

        again = ask(alice, "5.000000", by=clerk, idempotency_key="k")

        assert (again.request, again.entry, again.is_replay) == (first.request, first.entry, True)
        with pytest.raises(errors.IdempotencyKeyReused):
            ask(alice, 5, by=clerk, idempotency_key="k", reference="T-1")
        assert AdjustmentDay.objects.get().credits == 5

    def test_a_chargeback_turns_auto_reload_off(self, alice, clerk):
        reload = agreed(alice)

        ask(alice, -5, by=clerk, reason=AdjustmentReason.CHARGEBACK)

        reload.refresh_from_db()
        assert (reload.enabled, reload.off_reason) == (False, OffReason.DISPUTED)


class TestAboveLimits:
    def test_a_request_waits_and_changes_nothing(self, alice, clerk):
        outcome = ask(alice, 51, by=clerk)

        assert (outcome.entry, outcome.request.state) == (None, AdjustmentState.PENDING)
        assert balance_of(user_id=alice.pk).balance == 100
        assert AdjustmentDay.objects.get().credits == 0
        assert reconcile(Scope())[1] == []

    def test_a_second_person_posts_the_entry(self, alice, clerk, boss):
        request = ask(alice, 51, by=clerk).request

        outcome = approve(request, by=boss)

        assert (outcome.entry.amount, outcome.entry.actor_id, outcome.entry.balance_after) == (51, clerk.pk, 151)
        assert (outcome.request.state, outcome.request.decided_by, outcome.request.decision_note) == (
            "approved", boss, "Seen",
        )  # fmt: skip
        assert AdjustmentDay.objects.get(author=clerk).credits == 0
        assert reconcile(Scope())[1] == []

    def test_approving_twice_posts_once(self, alice, clerk, boss):
        request = ask(alice, 51, by=clerk).request
        first = approve(request, by=boss)

        again = approve(request, by=boss)

        assert (again.is_replay, again.entry) == (True, first.entry)
        assert adjustments(alice).count() == 1

    @pytest.mark.parametrize("first", [approve, reject])
    @pytest.mark.parametrize("then", [approve, reject])
    def test_a_decision_stands(self, alice, clerk, boss, first, then):
        request = ask(alice, 51, by=clerk).request
        first(request, by=boss)

        with pytest.raises(adjustment_errors.AdjustmentDecided):
            then(request, by=superuser())

        assert adjustments(alice).count() == (first is approve)

    @pytest.mark.parametrize("decide", [approve, reject])
    def test_the_author_decides_nothing(self, alice, clerk, decide):
        request = ask(alice, 51, by=clerk).request

        with pytest.raises(adjustment_errors.SecondPersonRequired):
            decide(request, by=clerk)

        request.refresh_from_db()
        assert request.state == AdjustmentState.PENDING

    def test_the_author_alone_withdraws(self, alice, clerk, boss):
        request = ask(alice, 51, by=clerk).request

        with pytest.raises(adjustment_errors.SecondPersonRequired):
            withdraw(request, by=boss)
        outcome = withdraw(request, by=clerk)

        assert (outcome.request.state, outcome.request.decided_by) == (AdjustmentState.WITHDRAWN, clerk)
        with pytest.raises(adjustment_errors.AdjustmentDecided):
            approve(request, by=boss)

    def test_an_unknown_request_is_not_found(self, boss):
        with pytest.raises(adjustment_errors.AdjustmentNotFound):
            approve(AdjustmentRequest(pk=999_999), by=boss)

    def test_what_cannot_be_posted_is_refused_when_it_is_asked_for(self, alice, clerk):
        with pytest.raises(errors.InsufficientCredits):
            ask(alice, "-100.000001", by=clerk)
        with pytest.raises(errors.BalanceLimitExceeded):
            ask(alice, "999999999", by=clerk)

        assert not AdjustmentRequest.objects.exists()

    def test_what_cannot_be_posted_when_it_is_approved_goes_on_waiting(self, alice, clerk, boss):
        request = ask(alice, -60, by=clerk).request
        ask(alice, -50, by=clerk)

        with pytest.raises(errors.InsufficientCredits, match="You have 50 credit"):
            approve(request, by=boss)
        ask(alice, 10, by=clerk)

        assert approve(request, by=boss).entry.balance_after == 0

    def test_a_frozen_balance_is_named_and_the_request_goes_on_waiting(self, alice, clerk, boss):
        request = ask(alice, -60, by=clerk).request
        freeze(alice)

        with pytest.raises(adjustment_errors.BalanceFrozen, match="until it is unfrozen"):
            approve(request, by=boss)

        request.refresh_from_db()
        assert request.state == AdjustmentState.PENDING

    def test_a_chargeback_turns_auto_reload_off_once_it_is_approved(self, alice, clerk, boss):
        reload = agreed(alice)
        request = ask(alice, -60, by=clerk, reason=AdjustmentReason.CHARGEBACK).request
        reload.refresh_from_db()
        assert reload.enabled

        approve(request, by=boss)

        reload.refresh_from_db()
        assert not reload.enabled


class TestOwnAccount:
    def test_ones_own_account_always_waits(self, clerk):
        outcome = ask(clerk, 1, by=clerk)

        assert (outcome.entry, outcome.request.second_person_because) == (None, "own_account")

    def test_the_customer_does_not_approve(self, clerk, boss):
        request = ask(boss, 51, by=clerk).request

        with pytest.raises(adjustment_errors.OwnAccountAdjusted):
            approve(request, by=boss)

        assert approve(request, by=superuser()).entry.amount == 51


class TestEmails:
    def test_whoever_may_approve_is_told_and_nobody_else(self, alice, clerk, boss):
        root = superuser()
        staff_with("ledger.adjust_credits")
        staff_with("ledger.approve_adjustment", is_active=False)
        clerk.user_permissions.set(boss.user_permissions.all())

        request = ask(alice, 51, by=clerk).request

        told = Notice.objects.filter(type="adjustment.requested", key=str(request.pk))
        assert set(told.values_list("user_id", flat=True)) == {boss.pk, root.pk}
        assert all(notice.email_due_at is not None for notice in told)
        assert f"/admin/ledger/adjustmentrequest/{request.pk}/change/" in told[0].body
        assert "above the author's limit of one adjustment" in told[0].body

    def test_nobody_is_told_of_what_was_posted_at_once(self, alice, clerk, boss):
        ask(alice, 5, by=clerk)

        assert not Notice.objects.filter(type__startswith="adjustment").exists()

    @pytest.mark.parametrize(("decide", "verb"), [(approve, "approved"), (reject, "rejected")])
    def test_the_author_is_told_of_the_decision(self, alice, clerk, boss, decide, verb):
        request = ask(alice, 51, by=clerk).request

        decide(request, by=boss)

        notice = Notice.objects.get(type="adjustment.decided")
        assert (notice.user, notice.subject) == (clerk, f"Your adjustment was {verb}")
        assert request.decision_note or "Their note" in notice.body

    def test_no_webhook_of_an_approver_hears_of_it(self, alice, clerk, boss):
        request = ask(alice, 51, by=clerk).request

        notice = Notice.objects.get(type="adjustment.requested", key=str(request.pk), user=boss)
        assert notice.email_to == boss.email
