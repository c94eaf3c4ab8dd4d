"""Spending limits of keys: what counts as spent by a key, and what is refused."""

import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.key_format import hash_of
from accounts.services.keys.own_keys import change_own_key, rotate_own_key
from ledger.errors import InsufficientCredits
from ledger.models import Entry
from ledger.selectors import balance_of
from ledger.services.holds import release_hold
from tests.backoffice import page_of, signed_in, staff_with, superuser
from tests.factories import ApiKeyFactory, customer_with
from tests.usage.key_limits import LimitedKey, limit, limited_key
from tests.usage.metering import captured, charge, held, price, refund, rolled_up
from usage.models import RequestLog

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("every_promise_is_kept")]
DAY = dt.timedelta(days=1)


@pytest.fixture
def alice():
    price("search", 1)
    price("free", 0)
    return customer_with(100, email="alice@example.com")


@pytest.fixture
def key(alice) -> LimitedKey:
    """A key with a limit of ten credits, whatever day it is."""
    return limited_key(alice, 10)


class TestCharges:
    def test_charges_pass_up_to_the_limit_exactly(self, key):
        key.charge(9)
        key.charge("0.999999")
        key.charge("0.000001")

        with pytest.raises(InsufficientCredits) as refused:
            key.charge("0.000001")

        assert refused.value.reason == "key_limit"
        assert (refused.value.required, refused.value.available) == (Decimal("0.000001"), 90)
        assert key.spent == 10

    def test_charges_beyond_the_limit_are_logged_as_rejected_and_cost_nothing(self, alice, key):
        with pytest.raises(InsufficientCredits):
            charge(None, key_hash=key.hash, units=Decimal(11), idempotency_key="k")

        logged = RequestLog.objects.get()
        assert (logged.status, logged.credits, logged.entry, logged.api_key_id) == (402, 0, None, key.id)
        assert rolled_up(alice) == [("search", 0, 0, 1, 0)]
        assert balance_of(user_id=alice.pk).balance == 100
        assert charge(None, key_hash=key.hash, units=Decimal(10), idempotency_key="k").credits == 10

    def test_free_charges_pass_a_limit_that_is_reached(self, key):
        key.charge(10)

        assert charge(None, "free", key_hash=key.hash).credits == 0
        assert charge(None, key_hash=key.hash, status=500).credits == 0

    def test_repeated_charges_count_once(self, key):
        for _ in range(3):
            charge(None, key_hash=key.hash, units=Decimal(6), idempotency_key="k")

        assert key.spent == 6
        key.charge(4)
        assert charge(None, key_hash=key.hash, units=Decimal(6), idempotency_key="k").is_replay

    def test_charges_beyond_the_balance_count_nothing(self, alice):
        rich = limited_key(alice, 1000)

        with pytest.raises(InsufficientCredits) as refused:
            rich.charge(101)

        assert (refused.value.reason, rich.spent) == ("spent", 0)

    def test_charges_of_the_customer_or_by_another_key_do_not_count(self, alice, key):
        other = limited_key(alice, 20)
        unlimited = ApiKeyFactory(user=alice)
        charge(alice, units=Decimal(30))
        charge(None, key_hash=hash_of(unlimited.raw), units=Decimal(5))
        other.charge(20)

        key.charge(10)

        assert (key.spent, other.spent) == (10, 20)

    def test_charges_of_another_customer_have_limits_of_their_own(self, key):
        bobs = limited_key(customer_with(10), 3)
        key.charge(10)

        bobs.charge(3)

        assert bobs.left == 0


class TestReportedRequests:
    def test_reported_requests_count_but_are_never_refused(self, key):
        key.report(8)
        key.charge(1)
        key.report(8)

        assert RequestLog.objects.filter(unpaid=True).count() == 0
        assert key.spent == 17
        with pytest.raises(InsufficientCredits):
            key.charge("0.000001")

    def test_unpaid_requests_do_not_count(self, alice, key):
        charge(alice, units=Decimal(98))

        key.report(5)
        key.charge(2)

        assert key.spent == 2
        assert RequestLog.objects.get(unpaid=True).api_key_id == key.id

    def test_requests_of_an_earlier_period_do_not_count(self, alice):
        today = timezone.now()
        key = limited_key(alice, 10, reset_day=today.day)

        key.report(7, at=today - DAY)
        key.charge(1)
        key.report(7, at=today - DAY)

        assert key.spent == 1


class TestHolds:
    def test_holds_are_refused_beyond_the_limit(self, key):
        key.charge(4)

        with pytest.raises(InsufficientCredits) as refused:
            key.hold("6.000001")

        assert (refused.value.reason, refused.value.required) == ("key_limit", Decimal("6.000001"))
        assert key.hold(6).credits == 6

    def test_holds_count_while_they_are_open(self, key):
        key.hold(4)
        opened = key.hold(5)
        with pytest.raises(InsufficientCredits):
            key.charge(2)

        release_hold(hold_id=opened.pk, idempotency_key="r")

        key.charge(6)

    def test_holds_no_longer_count_when_they_have_expired(self, key):
        key.hold(10, seconds=0)

        key.charge(10)

    def test_holds_of_others_do_not_count(self, alice, key):
        limited_key(alice, 50).hold(50)

        assert key.hold(10).credits == 10

    def test_repeated_holds_are_replayed_even_when_the_limit_is_reached(self, key):
        opened = key.hold(10, idempotency_key="k")

        assert key.hold(10, idempotency_key="k") == opened

    def test_captured_holds_count_as_what_was_taken(self, key):
        opened = key.hold(8)

        captured(opened, credits=Decimal(3), final=False)
        assert (key.spent, key.left) == (3, 2)
        captured(opened, credits=Decimal(1))

        assert (key.spent, key.left) == (4, 6)

    def test_holds_of_nothing_pass_a_limit_that_is_exceeded(self, key):
        key.report(12)

        assert held(None, "free", key_hash=key.hash).hold.credits == 0

    def test_holds_opened_before_the_limit_was_lowered_may_be_captured(self, key):
        opened = key.hold(10)
        limit(key, 2)

        captured(opened)

        assert key.spent == 10
        with pytest.raises(InsufficientCredits):
            key.charge(1)


class TestRefunds:
    def test_refunds_make_room_again(self, key):
        paid = key.charge(10)
        refund(paid.id, 3)

        with pytest.raises(InsufficientCredits):
            key.charge("3.000001")
        key.charge(3)
        refund(paid.id)

        assert (key.spent, key.left) == (3, 7)

    def test_refunds_of_captures_make_room_again(self, key):
        opened = key.hold(10)
        entry_id = captured(opened).entry_id

        refund(entry_id, 4)

        assert key.left == 4

    def test_refunds_before_the_first_count_are_read_from_the_log(self, alice):
        unlimited = limited_key(alice, None)
        refund(unlimited.charge(9).id, 5)

        limit(unlimited, 10)

        assert unlimited.left == 6


class TestTheResetDay:
    def test_reset_day_lets_the_whole_limit_be_spent_again(self, alice):
        today = timezone.now()
        key = limited_key(alice, 10, reset_day=today.day)
        key.report(7, at=today - DAY)

        key.charge(10)

        assert key.spent == 10
        with pytest.raises(InsufficientCredits):
            key.charge(1)

    def test_reset_day_of_tomorrow_counts_spending_since_last_month(self, alice):
        today = timezone.now()
        key = limited_key(alice, 10, reset_day=(today + DAY).day)
        key.report(7, at=today - DAY)

        key.charge(3)

        assert key.left == 0

    def test_reset_day_may_be_changed_and_changed_back(self, alice):
        today = timezone.now()
        key = limited_key(alice, 10, reset_day=(today + DAY).day)
        key.report(7, at=today - DAY)
        key.charge(1)

        limit(key, 10, reset_day=today.day)
        key.charge(9)
        with pytest.raises(InsufficientCredits):
            key.charge(1)
        limit(key, 20, reset_day=(today + DAY).day)
        key.charge(3)

        assert key.left == 0


class TestALimit:
    def test_a_limit_set_within_a_period_counts_earlier_spending(self, alice):
        key = limited_key(alice, None)
        key.charge(6)
        key.hold(1)

        limit(key, 10)

        assert key.left == 3

    def test_a_limit_set_again_counts_spending_while_it_was_lifted(self, alice, key):
        first = key.charge(2)
        change_own_key(user_id=alice.pk, key_id=key.id, changes={"spending_limit": None}, now=timezone.now())
        key.charge(20)
        captured(key.hold(30))
        refund(first.id)

        change_own_key(user_id=alice.pk, key_id=key.id, changes={"spending_limit": Decimal(51)}, now=timezone.now())

        assert (key.spent, key.left) == (50, 1)

    def test_a_raised_limit_lets_more_pass_and_a_lowered_one_less(self, key):
        key.charge(10)
        limit(key, 11)
        key.charge(1)
        limit(key, 5)

        with pytest.raises(InsufficientCredits):
            key.charge("0.000001")

    def test_a_limit_does_not_bind_the_customer(self, alice, key):
        key.charge(10)

        assert charge(alice, units=Decimal(90)).available == 0
        assert Entry.objects.filter(reason="usage").count() == 2


class TestRotation:
    def test_rotation_hands_on_the_limit_and_its_spending(self, alice, key):
        key.charge(7)

        new = _rotated(alice, key)

        assert new.left == 3
        new.charge(3)
        assert (new.spent, key.spent) == (10, 10)

    def test_rotation_lets_both_keys_spend_as_one_while_the_old_one_works(self, alice, key):
        newest = _rotated(alice, _rotated(alice, key, grace=DAY), grace=DAY)
        newest.charge(4)
        key.charge(4)
        newest.hold(1)

        with pytest.raises(InsufficientCredits):
            key.charge("1.000001")

        key.hold(1)
        assert newest.left == 0

    def test_rotation_keeps_captures_refunds_and_reports_of_the_old_key_in_the_count(self, alice, key):
        opened, paid = key.hold(3), key.charge(5)
        new = _rotated(alice, key)

        captured(opened)
        refund(paid.id, 2)
        key.report(1)

        assert (new.spent, new.left) == (7, 3)

    def test_rotation_before_a_limit_was_set_makes_no_difference(self, alice):
        old = limited_key(alice, None)
        old.charge(6)
        new = _rotated(alice, old)

        limit(new, 10)

        assert new.left == 4

    def test_rotation_keeps_unrelated_keys_apart(self, alice, key):
        other = limited_key(alice, 10)
        _rotated(alice, other).charge(10)

        assert key.left == 10


class TestThePageOfAKey:
    @pytest.mark.parametrize("is_counted", [True, False], ids=["counted", "known from the log"])
    def test_page_shows_staff_what_was_spent(self, alice, key, is_counted):
        if is_counted:
            key.charge(4)
        key.report("3.25")
        page = page_of("accounts_apikey", _rotated(alice, key).id)

        said = signed_in(staff_with("accounts.view_apikey", "usage.view_requestlog")).get(page).content.decode()

        began_on = timezone.now().replace(day=1).date()
        assert f"{'7.25' if is_counted else '3.25'} credits since {began_on}" in said

    def test_page_hides_spending_without_the_permission_to_see_requests(self, key):
        said = signed_in(staff_with("accounts.view_apikey")).get(page_of("accounts_apikey", key.id)).content.decode()

        assert "credits since" not in said
        assert "10 credits, counted anew" in said

    def test_page_shows_no_spending_for_a_key_without_a_limit(self, alice):
        page = page_of("accounts_apikey", limited_key(alice, None).id)

        assert "credits since" not in signed_in(superuser()).get(page).content.decode()


def _rotated(alice, key, *, grace=dt.timedelta(0)):
    issued = rotate_own_key(user_id=alice.pk, key_id=key.id, grace=grace, now=timezone.now())
    return LimitedKey(issued)
