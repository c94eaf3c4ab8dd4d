"""Holds for requests: what is debited when the work ends, and what is logged."""

from decimal import Decimal

import pytest

from ledger.errors import (
    CaptureExceedsHold,
    HoldCaptured,
    HoldExpired,
    HoldNotFound,
    HoldReleased,
    IdempotencyKeyReused,
    InsufficientCredits,
    UnknownCustomer,
)
from ledger.models import Entry, EntryReason, Hold
from ledger.selectors import balance_of
from ledger.services.holds import extend_hold, release_hold
from tests.factories import ApiKeyFactory, UserFactory, customer_with
from tests.ledger.posting import run_out
from tests.ledger.tampering import tamper
from tests.usage.metering import captured, held, price, rolled_up
from usage.errors import CustomerInactive, CustomerKeyInvalid, PriceUnknown
from usage.models import RequestLog

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("every_promise_is_kept")]


@pytest.fixture
def alice():
    price("search", 2)
    return customer_with(100)


def sums(user):
    had = balance_of(user_id=user.pk)
    return had.balance, had.reserved, had.available


class TestOpening:
    def test_opening_sets_aside_the_cost_of_the_units(self, alice):
        assert held(alice, units=Decimal(3)).hold.credits == 6
        assert sums(alice) == (100, 6, 94)

    def test_opening_with_credits_sets_them_aside_and_needs_no_price(self, alice):
        assert held(alice, None, credits=Decimal("7.5")).hold.credits == Decimal("7.5")

    def test_opening_finds_the_customer_by_a_key(self, alice):
        key = ApiKeyFactory(user=alice).api_key

        assert held(None, key_hash=bytes(key.key_hash)).hold.user_id == alice.pk

    def test_opening_is_refused_without_a_price(self, alice):
        with pytest.raises(PriceUnknown):
            held(alice, "unheard of")

    def test_opening_for_a_free_endpoint_holds_nothing_and_still_returns_a_hold(self, alice):
        price("free", 0)

        hold = held(alice, "free").hold

        assert (hold.credits, hold.status) == (0, "open")
        assert captured(hold).entry_id is None
        assert rolled_up(alice) == [("free", 1, 0, 0, 0)]

    def test_opening_is_refused_for_a_customer_who_may_not_be_charged(self, alice):
        alice.is_active = False
        alice.save()
        key = ApiKeyFactory(user=alice).api_key

        with pytest.raises(CustomerInactive):
            held(alice)
        with pytest.raises(CustomerKeyInvalid):
            held(None, key_hash=bytes(key.key_hash))
        with pytest.raises(UnknownCustomer):
            held(None, user_id=987_654_321)

    def test_opening_beyond_the_available_credits_is_refused_with_the_price(self, alice):
        with pytest.raises(InsufficientCredits) as refused:
            held(alice, units=Decimal(51))

        assert (refused.value.required, refused.value.available) == (102, 100)


class TestCapturing:
    def test_capturing_takes_all_and_logs_the_request_as_announced(self, alice):
        hold = held(alice, units=Decimal(3), method="POST", reference="job 7").hold

        done = captured(hold, latency_ms=12, metadata={"pages": 2})

        entry, log = Entry.objects.get(pk=done.entry_id), RequestLog.objects.get()
        assert (done.hold.status, done.hold.captured, done.is_replay) == ("captured", 6, False)
        assert (entry.reason, entry.amount, entry.reference) == (EntryReason.CAPTURE, -6, "job 7")
        assert (log.pk, log.entry_id, log.credits, log.units) == (entry.pk, entry.pk, 6, 3)
        assert (log.endpoint, log.method, log.latency_ms, log.metadata) == ("search", "POST", 12, {"pages": 2})
        assert log.occurred_at == entry.created_at
        assert rolled_up(alice) == [("search", 1, 0, 0, 6)]
        assert sums(alice) == (94, 0, 94)

    def test_capturing_a_part_releases_the_rest(self, alice):
        hold = held(alice, credits=Decimal(10)).hold

        assert captured(hold, credits=Decimal(4)).hold.captured == 4
        assert sums(alice) == (96, 0, 96)

    def test_capturing_without_final_keeps_the_rest_held_until_nothing_is_left(self, alice):
        hold = held(alice, credits=Decimal(10)).hold

        first = captured(hold, credits=Decimal(4), final=False).hold
        between = sums(alice)
        last = captured(hold, credits=Decimal(6), final=False).hold

        assert (first.status, first.captured, between) == ("open", 4, (96, 6, 90))
        assert (last.status, last.captured) == ("captured", 10)
        assert sums(alice) == (90, 0, 90)
        assert [log.credits for log in RequestLog.objects.order_by("id")] == [4, 6]

    def test_capturing_more_than_is_left_is_refused_and_changes_nothing(self, alice):
        hold = held(alice, credits=Decimal(10)).hold
        captured(hold, credits=Decimal(4), final=False)

        with pytest.raises(CaptureExceedsHold):
            captured(hold, credits=Decimal("6.000001"))

        assert sums(alice) == (96, 6, 90)

    @pytest.mark.parametrize("status", [401, 402, 429])
    def test_capturing_for_a_rejected_request_takes_nothing_even_with_credits(self, alice, status):
        done = captured(held(alice).hold, status=status, credits=Decimal(1))

        assert (done.entry_id, done.hold.status) == (None, "released")
        assert rolled_up(alice) == [("search", 0, 0, 1, 0)]
        assert sums(alice) == (100, 0, 100)

    def test_capturing_for_a_failure_takes_nothing_without_credits_or_a_price_for_failures(self, alice):
        price("strict", 2, charge_failures=True)

        assert captured(held(alice).hold, status=500).entry_id is None
        assert captured(held(alice).hold, status=500, credits=Decimal(1)).hold.captured == 1
        assert captured(held(alice, "strict").hold, status=500).hold.captured == 2
        assert rolled_up(alice) == [("search", 0, 2, 0, 1), ("strict", 0, 1, 0, 2)]

    def test_capturing_a_hold_without_endpoint_counts_under_the_star(self, alice):
        captured(held(alice, None, credits=Decimal(1)).hold)

        assert rolled_up(alice) == [("*", 1, 0, 0, 1)]

    def test_capturing_may_name_another_endpoint_than_the_hold(self, alice):
        captured(held(alice, None, credits=Decimal(5)).hold, endpoint="search", units=Decimal(2))

        assert (RequestLog.objects.get().endpoint, RequestLog.objects.get().units) == ("search", 2)

    @pytest.mark.django_db(transaction=True)
    def test_capturing_a_frozen_customers_hold_still_charges(self, alice):
        hold = held(alice).hold
        tamper("UPDATE ledger_balance SET frozen_at = now()")

        with pytest.raises(InsufficientCredits) as refused:
            held(alice)

        assert refused.value.reason == "frozen"
        assert captured(hold).hold.captured == 2

    def test_capturing_again_under_its_key_returns_the_same(self, alice):
        hold = held(alice, credits=Decimal(10)).hold
        first = captured(hold, credits=Decimal(4), final=False, idempotency_key="k")
        captured(hold)

        again = captured(hold, credits=Decimal(4), final=False, idempotency_key="k")

        assert (again.entry_id, again.is_replay, again.hold.status) == (first.entry_id, True, "captured")
        assert Entry.objects.filter(reason=EntryReason.CAPTURE).count() == 2

    def test_capturing_nothing_again_returns_the_same(self, alice):
        hold = held(alice).hold
        captured(hold, status=429, idempotency_key="k")

        assert captured(hold, status=429, idempotency_key="k").is_replay
        assert RequestLog.objects.count() == 1

    def test_capturing_with_another_payload_under_its_key_is_refused(self, alice):
        hold = held(alice, credits=Decimal(10)).hold
        captured(hold, credits=Decimal(4), final=False, idempotency_key="k")

        with pytest.raises(IdempotencyKeyReused):
            captured(hold, credits=Decimal(5), final=False, idempotency_key="k")
        with pytest.raises(IdempotencyKeyReused):
            captured(held(alice).hold, credits=Decimal(4), final=False, idempotency_key="k")


class TestASettledHold:
    def test_a_settled_hold_is_refused_by_its_state(self, alice):
        taken, given_back, gone = held(alice).hold, held(alice).hold, held(alice, expires_in_seconds=0).hold
        captured(taken)
        release_hold(hold_id=given_back.pk, idempotency_key="released")

        for hold, refusal in ((taken, HoldCaptured), (given_back, HoldReleased), (gone, HoldExpired)):
            with pytest.raises(refusal):
                captured(hold)
            with pytest.raises(refusal):
                release_hold(hold_id=hold.pk, idempotency_key="again")
            with pytest.raises(refusal):
                extend_hold(hold_id=hold.pk, expires_in_seconds=60, idempotency_key="again")

    def test_a_settled_hold_is_not_found_by_another_customer(self, alice):
        hold, bob = held(alice).hold, UserFactory()

        for touch in (
            lambda: captured(hold, user_id=bob.pk),
            lambda: release_hold(hold_id=hold.pk, idempotency_key="k", user_id=bob.pk),
            lambda: extend_hold(hold_id=hold.pk, expires_in_seconds=9, idempotency_key="k", user_id=bob.pk),
            lambda: captured(Hold(pk=987_654_321)),
        ):
            with pytest.raises(HoldNotFound):
                touch()
        assert captured(hold, user_id=alice.pk).entry_id is not None


class TestExtending:
    def test_extending_counts_from_now_and_never_shortens(self, alice):
        hold = held(alice, expires_in_seconds=60).hold

        longer = extend_hold(hold_id=hold.pk, expires_in_seconds=600, idempotency_key="1").hold
        same = extend_hold(hold_id=hold.pk, expires_in_seconds=5, idempotency_key="2").hold

        assert 590 < (longer.expires_at - hold.created_at).total_seconds() < 660
        assert same.expires_at == longer.expires_at

    @pytest.mark.django_db(transaction=True)
    def test_extending_keeps_credits_held_past_the_first_expiry(self, alice):
        hold = held(alice, expires_in_seconds=60).hold
        extend_hold(hold_id=hold.pk, expires_in_seconds=600, idempotency_key="1")

        run_out(hold)

        assert sums(alice) == (100, 2, 98)
        assert captured(hold).hold.status == "captured"

    def test_extending_again_under_its_key_extends_nothing(self, alice):
        hold = held(alice).hold
        first = extend_hold(hold_id=hold.pk, expires_in_seconds=6_000, idempotency_key="k")

        again = extend_hold(hold_id=hold.pk, expires_in_seconds=6_000, idempotency_key="k")

        assert (again.hold.expires_at, again.is_replay) == (first.hold.expires_at, True)
        with pytest.raises(IdempotencyKeyReused):
            extend_hold(hold_id=hold.pk, expires_in_seconds=7_000, idempotency_key="k")
