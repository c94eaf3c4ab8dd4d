"""Auto-reload buys what was agreed to: one payment for a gap, one at a time, within the cap, never without consent."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal

import pytest

from accounts.models import User
from ledger.models import Entry, EntryReason, OffReason, PaymentState
from ledger.providers import fake as cards
from ledger.selectors import balance_of
from ledger.services.auto_reload.buying import reload_one
from ledger.services.controls import freeze_balance, unfreeze_balance
from ledger.services.payments.cards import remove_card
from ledger.services.payments.settling import record_answer, settle_payment
from tests.factories import StaffFactory, customer_with
from tests.ledger.paying import bought, card, fake, paid_answer
from tests.ledger.posting import hold
from tests.ledger.reloading import (
    MINUTE,
    NOON,
    agreed,
    bought_credits,
    change,
    low,
    reload_of,
    reloads,
    run_all,
    run_for,
    spend,
    threshold_of,
    told,
)
from usage.services.reconciliation import Scope, reconcile

pytestmark = pytest.mark.django_db
DAY = dt.timedelta(days=1)


def available(user):
    return balance_of(user_id=user.pk).available


def test_falling_below_the_threshold_buys_once_and_says_so_in_the_ledger():
    user = low(50)

    assert run_all() == ["succeeded"]
    assert run_for(NOON, dt.timedelta(hours=2)) == []

    (payment,) = reloads(user)
    entry = Entry.objects.get(pk=payment.entry_id)
    assert available(user) == 1050
    assert (entry.reason, entry.amount) == (EntryReason.AUTO_RELOAD, 1000)
    assert payment.amount_minor == 1000  # 10.00 USD
    assert fake().charges.count(payment.provider_key) == 1
    assert told(user) == ["succeeded"]
    assert threshold_of(user).crossed_at is None
    assert reconcile(Scope())[1] == []


def test_landing_exactly_on_the_threshold_does_not_fire_and_below_it_does():
    user = low(100)

    on_it = run_all()
    spend(user, "0.000001")

    assert on_it == []
    assert run_all() == ["succeeded"]


def test_one_payment_closes_a_gap_of_twenty_amounts():
    user = low(0, threshold=Decimal(2000), amount=Decimal(100))

    assert run_for(NOON, dt.timedelta(minutes=30)) == ["succeeded"]

    assert bought_credits(user) == [2000]


def test_landing_exactly_on_the_threshold_after_a_reload_does_not_fire_again():
    user = low(0, threshold=Decimal(100), amount=Decimal(100))

    assert run_for(NOON, dt.timedelta(minutes=30)) == ["succeeded"]

    assert available(user) == 100


def test_a_target_is_bought_up_to():
    user = low(20, target=Decimal(700))

    run_all()

    assert bought_credits(user) == [680]
    assert available(user) == 700


def test_a_reload_never_lowers_a_larger_balance():
    user = low(20, target=Decimal(700))
    bought(user, cards.APPROVE, now=NOON)  # 1,000 more, before the next round

    assert run_all() == ["enough"]
    assert available(user) == 1020


def test_held_credits_count_as_spent():
    user = customer_with(1000)
    agreed(user)
    hold(user, 950)

    assert run_all() == ["succeeded"]


def test_a_customer_without_consent_buys_nothing():
    user = customer_with(1000)
    card(user, cards.APPROVE)
    spend(user, 1000)

    assert run_all() == []
    assert reload_one(user_id=user.pk, now=NOON) == "off"


def test_a_pending_purchase_counts_as_incoming():
    user = low(50)
    top_up = bought(user, cards.TIME_OUT, now=NOON)

    assert top_up.state == PaymentState.PENDING
    assert run_all() == ["coming"]
    assert reloads(user) == []


def test_an_unpaid_page_counts_as_incoming_for_half_an_hour():
    user = low(50)
    bought(user, now=NOON)

    assert run_all(NOON + 29 * MINUTE) == ["coming"]
    assert run_all(NOON + 31 * MINUTE) == ["succeeded"]
    assert bought_credits(user) == [1000]


def test_a_lost_answer_is_pending_until_it_is_looked_up():
    user = low(50, cards.ANSWER_LOST)

    assert run_all() == ["pending"]
    assert run_for(NOON, dt.timedelta(hours=1)) == []
    (payment,) = reloads(user)
    settle_payment(payment_id=payment.pk, now=NOON + dt.timedelta(hours=1))

    assert run_for(NOON + dt.timedelta(hours=1), dt.timedelta(hours=1)) == []
    assert bought_credits(user) == [1000]
    assert told(user) == ["succeeded"]


def test_a_charge_that_never_reached_the_provider_counts_as_neither_and_is_tried_again():
    user = low(50, cards.TIME_OUT)
    run_all()
    (payment,) = reloads(user)

    settle_payment(payment_id=payment.pk, now=NOON + 3 * MINUTE)

    assert reloads(user)[0].failure_code == "never_sent"
    assert reload_of(user).declines_in_a_row == 0
    assert run_all(NOON + 4 * MINUTE) == []
    assert run_all(NOON + 9 * MINUTE) == ["pending"]
    assert told(user) == []


def test_a_declined_card_is_tried_three_times_before_auto_reload_goes_off():
    user = low(50, cards.DECLINE)

    outcomes = run_for(NOON, dt.timedelta(hours=3))
    outcomes += run_for(NOON + dt.timedelta(hours=3), 5 * DAY, every=15 * MINUTE)

    assert outcomes == ["failed"] * 3
    begun = [payment.created_at - NOON for payment in reloads(user)]
    assert begun == [0 * MINUTE, 15 * MINUTE, 75 * MINUTE]
    reload = reload_of(user)
    assert (reload.enabled, reload.off_reason, reload.declines_in_a_row) == (False, OffReason.DECLINED, 3)
    assert threshold_of(user) is None
    assert told(user) == ["failed", "failed", "disabled", "failed"]
    assert reconcile(Scope())[1] == []


def test_a_success_resets_the_count_of_declines():
    user = low(50, cards.DECLINE)
    run_for(NOON, dt.timedelta(minutes=20))
    assert reload_of(user).declines_in_a_row == 2
    payment = reloads(user)[-1]

    change(user, payment_method_id=card(user, cards.APPROVE).pk, consent=True, now=NOON + 20 * MINUTE)
    assert reload_of(user).declines_in_a_row == 0
    run_all(NOON + 20 * MINUTE)

    assert bought_credits(user) == [1000]
    assert payment.state == PaymentState.FAILED


def test_a_dead_card_is_tried_at_most_24_times_a_day_however_often_it_is_turned_on_again():
    user = low(50, cards.DECLINE)
    now = NOON
    while now < NOON + 2 * DAY:
        if not reload_of(user).enabled:
            change(user, enabled=True, consent=True, now=now)
        run_all(now)
        now += 15 * MINUTE

    begun = [payment.created_at for payment in reloads(user)]
    assert len(begun) > 24
    assert all(sum(at <= other < at + DAY for other in begun) <= 24 for at in begun)


def test_a_payment_to_be_confirmed_is_pending_and_the_customer_gets_the_link():
    user = low(50, cards.AUTHENTICATE)

    assert run_all() == ["requires_action"]
    assert run_for(NOON, dt.timedelta(hours=20), every=15 * MINUTE) == []

    (payment,) = reloads(user)
    (notice,) = user.notices.filter(type="auto_reload.requires_action")
    assert payment.action_url in notice.body
    fake().pay(payment.provider_key)
    settle_payment(payment_id=payment.pk, now=NOON + dt.timedelta(hours=20))
    assert bought_credits(user) == [1000]
    assert told(user) == ["requires_action", "succeeded"]


def test_an_unconfirmed_payment_counts_as_neither_and_is_tried_again_hours_later():
    user = low(50, cards.AUTHENTICATE)
    run_all()
    (payment,) = reloads(user)

    expired = settle_payment(payment_id=payment.pk, now=NOON + DAY)

    assert expired.state == PaymentState.EXPIRED
    assert reload_of(user).declines_in_a_row == 0
    assert run_for(NOON + DAY, dt.timedelta(hours=6)) == []
    assert run_all(NOON + DAY + dt.timedelta(hours=6)) == ["requires_action"]


def test_payments_keep_a_distance():
    user = low(50)
    run_all()
    spend(user, 1000)

    assert run_all(NOON + dt.timedelta(seconds=59)) == []
    assert run_all(NOON + MINUTE) == ["succeeded"]


def test_the_cap_ends_it_for_the_month_and_says_so_once():
    user = low(50, monthly_cap=Decimal(25))
    outcomes = []
    for number in range(100):
        outcomes += run_all(NOON + number * MINUTE)
        if available(user) >= 1000:
            spend(user, 1000)

    assert outcomes == ["succeeded", "succeeded", "cap_reached"]
    assert told(user) == ["succeeded", "succeeded", "cap_reached"]
    assert reload_of(user).next_attempt_at == dt.datetime(2026, 12, 1, tzinfo=dt.UTC)
    assert run_all(dt.datetime(2026, 12, 1, tzinfo=dt.UTC)) == ["succeeded"]


def test_a_payment_is_cut_to_what_the_cap_leaves():
    user = low(0, threshold=Decimal(5000), amount=Decimal(1000), monthly_cap=Decimal(35))

    assert run_all() == ["succeeded"]
    assert run_all(NOON + MINUTE) == ["cap_reached"]

    assert bought_credits(user) == [3000]


def test_a_raised_cap_resumes_it_at_once():
    user = low(0, threshold=Decimal(5000), monthly_cap=Decimal(35))
    run_all()
    run_all(NOON + MINUTE)

    change(user, monthly_cap=Decimal(100), consent=True, now=NOON + 2 * MINUTE)

    assert run_all(NOON + 2 * MINUTE) == ["succeeded"]
    assert bought_credits(user) == [3000, 2000]


def test_a_frozen_balance_and_a_deactivated_customer_buy_nothing():
    clerk, frozen, gone = StaffFactory(), low(50), low(50)
    freeze_balance(user_id=frozen.pk, note="x", actor_id=clerk.pk, idempotency_key="1")
    User.objects.filter(pk=gone.pk).update(is_active=False)

    assert run_all() == []
    assert reload_one(user_id=frozen.pk, now=NOON) == "frozen"
    assert reload_one(user_id=gone.pk, now=NOON) == "inactive"

    unfreeze_balance(user_id=frozen.pk, note="x", actor_id=clerk.pk, idempotency_key="2")
    assert run_all() == ["succeeded"]


def test_a_removed_card_turns_it_off():
    user = low(50)

    remove_card(user_id=user.pk, payment_method_id=reload_of(user).method_id, now=NOON)

    assert reload_of(user).off_reason == OffReason.METHOD_REMOVED
    assert told(user) == ["disabled"]
    assert run_all() == []


def test_a_card_missing_at_the_next_round_turns_it_off():
    user = low(50)
    method = reload_of(user).method
    method.removed_at = NOON
    method.save()

    assert run_all() == ["turned_off"]
    assert reload_of(user).off_reason == OffReason.METHOD_REMOVED


def test_a_higher_price_than_agreed_to_turns_it_off_and_a_lower_one_is_charged(settings):
    dearer, cheaper = low(50), low(50)
    settings.AUTO_RELOAD_PRICE = (Decimal("10.01"), "USD")
    assert reload_one(user_id=dearer.pk, now=NOON) == "turned_off"
    settings.AUTO_RELOAD_PRICE = (Decimal("9.00"), "USD")
    assert reload_one(user_id=cheaper.pk, now=NOON) == "succeeded"

    assert reload_of(dearer).off_reason == OffReason.PRICE_CHANGED
    assert reloads(cheaper)[0].amount_minor == 900


def test_a_threshold_raised_above_what_is_available_fires_at_once():
    user = customer_with(150)
    agreed(user)
    assert run_all() == []

    change(user, threshold=Decimal(200), consent=True)

    assert run_all() == ["succeeded"]


def test_it_never_turns_itself_on_again():
    user = low(50, cards.DECLINE)
    run_for(NOON, DAY, every=15 * MINUTE)

    card(user, cards.APPROVE)
    bought(user, cards.APPROVE, now=NOON + DAY)
    spend(user, 1000)

    assert run_for(NOON + DAY, DAY, every=15 * MINUTE) == []
    assert not reload_of(user).enabled


def test_a_late_success_of_a_declined_payment_is_credited_but_turns_nothing_on():
    user = low(50, cards.DECLINE)
    run_for(NOON, DAY, every=15 * MINUTE)
    payment = reloads(user)[-1]
    record_answer(payment_id=payment.pk, answer=paid_answer(payment), source="webhook", now=NOON + DAY)

    assert bought_credits(user) == [1000]
    assert (reload_of(user).enabled, reload_of(user).declines_in_a_row) == (False, 0)
    assert reconcile(Scope())[1] == []
