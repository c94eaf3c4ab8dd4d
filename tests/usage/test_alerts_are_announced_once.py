"""Each crossing is announced once: by concurrent runs, by a killed run, and whatever the balance does meanwhile."""

import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone
from hypothesis import given, settings
from hypothesis import strategies as st

from accounts.models import Notice, User
from config.rounds import Round
from ledger.models import Threshold
from tests.accounts.races import at_once
from tests.factories import customer_with
from tests.ledger.granting import granted
from tests.ledger.posting import post
from tests.ledger.races import before_it_commits
from tests.usage.metering import price, report, request_at
from usage.models import Alert, AlertKind
from usage.services.alerts import crossings
from usage.services.alerts.actions import change_alert, create_alert
from usage.services.alerts.crossings import (
    arm_returned,
    crossings_due,
    notify_crossing,
    notify_crossings,
    watch_depletion,
)
from usage.services.alerts.expiring_grants import notify_expiring_grants
from usage.services.alerts.runways import notify_runways
from usage.services.forecasts.selectors import forecast_of


def alert_on(user: User, threshold: int, kind: AlertKind = AlertKind.BALANCE_BELOW) -> Alert:
    worth = Decimal(threshold) if kind == AlertKind.BALANCE_BELOW else threshold
    return create_alert(user_id=user.pk, kind=kind, threshold=worth, now=timezone.now())


def send_crossing_notices() -> None:
    """Send the notices of crossings, as a run of `send_alerts` does."""
    now = timezone.now()
    notify_crossings(Round(), now=now)
    arm_returned(Round(), now=now)
    notify_crossings(Round(), now=now)


def notices_of(user: User) -> list[str]:
    return list(Notice.objects.of(user.pk).order_by("pk").values_list("type", flat=True))


@pytest.mark.django_db(transaction=True)
def test_concurrent_runs_announce_a_crossing_once():
    alice = customer_with(100)
    for credits in (80, 60):
        alert_on(alice, credits)
    alert_on(alice, 365, AlertKind.RUNWAY_BELOW)
    price("search", 1)
    report(alice, [request_at(timezone.now(), units=Decimal(50))], charged=True)
    granted(alice, 1, days=3)

    for notifying in (notify_crossings, notify_runways, notify_expiring_grants):
        news = at_once(5, lambda notifying=notifying: notifying(Round(), now=timezone.now()))
        assert all(isinstance(one, dict) for one in news), news

    assert sorted(notices_of(alice)) == ["balance.low", "balance.low", "balance.runway_low", "grant.expiring"]


@pytest.mark.django_db(transaction=True)
def test_concurrent_runs_announce_a_return_once():
    alice = customer_with(100)
    alert_on(alice, 80)
    post(alice, -50)
    send_crossing_notices()
    post(alice, 50)

    at_once(5, send_crossing_notices)

    assert notices_of(alice) == ["balance.low", "balance.recovered"]


@pytest.mark.django_db(transaction=True)
def test_concurrent_watches_create_the_usual_alerts_once():
    alice = customer_with(100)

    at_once(5, lambda: watch_depletion(user_id=alice.pk, now=timezone.now()))

    assert Alert.objects.filter(user=alice).count() == 2
    assert Threshold.objects.get(user=alice).crossed_at is None


@pytest.mark.django_db(transaction=True)
def test_switching_off_waits_for_the_notice_and_nothing_is_announced_afterwards():
    alice = customer_with(100)
    alert = alert_on(alice, 80)
    post(alice, -50)
    forecast = forecast_of(user_id=alice.pk, now=timezone.now())

    before_it_commits(
        lambda: notify_crossing(alert_id=alert.pk, forecast=forecast, now=timezone.now()),
        lambda: change_alert(user_id=alice.pk, alert_id=alert.pk, changes={"is_enabled": False}),
    )

    send_crossing_notices()
    alert.refresh_from_db()
    assert (notices_of(alice), alert.crossed_at) == (["balance.low"], None)


@pytest.mark.django_db(transaction=True)
def test_a_notice_waits_for_switching_off_and_announces_nothing():
    alice = customer_with(100)
    alert = alert_on(alice, 80)
    post(alice, -50)
    forecast = forecast_of(user_id=alice.pk, now=timezone.now())

    _, told_then = before_it_commits(
        lambda: change_alert(user_id=alice.pk, alert_id=alert.pk, changes={"is_enabled": False}),
        lambda: notify_crossing(alert_id=alert.pk, forecast=forecast, now=timezone.now()),
    )

    assert told_then == notices_of(alice) == []


@pytest.mark.django_db(transaction=True)
def test_a_concurrent_move_does_not_wait_and_is_announced_by_the_next_run():
    alice = customer_with(100)
    alert = alert_on(alice, 80)
    post(alice, -50)
    send_crossing_notices()
    post(alice, 50)
    arm_returned(Round(), now=timezone.now())
    forecast = forecast_of(user_id=alice.pk, now=timezone.now())

    before_it_commits(
        lambda: notify_crossing(alert_id=alert.pk, forecast=forecast, now=timezone.now()), lambda: post(alice, -50)
    )
    meanwhile = notices_of(alice)
    send_crossing_notices()

    assert meanwhile == ["balance.low", "balance.recovered"]
    assert notices_of(alice) == ["balance.low", "balance.recovered", "balance.low"]


class KilledError(BaseException):
    """Like a signal: no round goes on after it."""


def kill(*args: object, **kwargs: object) -> None:
    raise KilledError


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("place", ["notify_crossed", "settled_forecasts_of", "Alert.save"])
def test_a_run_killed_before_its_notice_is_made_up_for(monkeypatch, place):
    alice = customer_with(100)
    alert_on(alice, 80)
    post(alice, -50)

    with monkeypatch.context() as broken:
        broken.setattr(f"usage.services.alerts.crossings.{place}", kill)
        with pytest.raises(KilledError):
            send_crossing_notices()
    meanwhile = notices_of(alice)
    send_crossing_notices()

    assert (meanwhile, notices_of(alice)) == ([], ["balance.low"])


@pytest.mark.django_db(transaction=True)
def test_a_run_that_is_killed_between_two_alerts_leaves_the_second_to_the_next(monkeypatch):
    alice, bob = customer_with(100), customer_with(100)
    for each in (alice, bob):
        alert_on(each, 80)
        post(each, -50)
    notifying = crossings.notify_crossing

    def notify_one_and_be_killed(**asked):
        notifying(**asked)
        raise KilledError

    with monkeypatch.context() as broken:
        broken.setattr(crossings, "notify_crossing", notify_one_and_be_killed)
        with pytest.raises(KilledError):
            send_crossing_notices()
    meanwhile = (notices_of(alice), notices_of(bob))
    send_crossing_notices()

    assert meanwhile == (["balance.low"], [])
    assert (notices_of(alice), notices_of(bob)) == (["balance.low"], ["balance.low"])


@pytest.mark.django_db(transaction=True)
def test_a_return_armed_by_a_killed_run_is_announced_by_the_next():
    alice = customer_with(100)
    alert_on(alice, 80)
    post(alice, -50)
    send_crossing_notices()
    post(alice, 50)
    arm_returned(Round(), now=timezone.now())

    send_crossing_notices()

    assert notices_of(alice) == ["balance.low", "balance.recovered"]
    assert crossings_due() == []


STEPS = st.lists(st.integers(-60, 60).filter(bool) | st.just("run"), max_size=25)


@pytest.mark.django_db
@settings(max_examples=60, deadline=None, database=None)
@given(steps=STEPS)
def test_each_crossing_and_each_return_between_is_announced_whatever_the_balance_does(steps):
    alice = customer_with(100)
    post(alice, 10_000, type="credit", reason="purchase")  # never below zero, so that `depleted` has nothing to say
    alert = alert_on(alice, 10_070)
    available, is_armed, crossed = Decimal(10_100), True, 0

    for step in [*steps, "run"]:
        if step == "run":
            send_crossing_notices()
            is_armed = is_armed or available >= alert.below
        else:
            post(alice, step)
            available += step
            if is_armed and available < alert.below:
                is_armed, crossed = False, crossed + 1

    types = notices_of(alice)
    assert types == ["balance.low", "balance.recovered"] * (len(types) // 2) + ["balance.low"] * (len(types) % 2)
    assert types.count("balance.low") == crossed
    assert types.count("balance.recovered") == crossed - (not is_armed)


@pytest.mark.django_db
@settings(max_examples=25, deadline=None, database=None)
@given(steps=st.lists(st.integers(-60, 60).filter(bool), max_size=15))
def test_a_wavering_runway_is_announced_short_and_long_in_turn(steps):
    alice = customer_with(1_000)
    User.objects.filter(pk=alice.pk).update(created_at=timezone.now() - dt.timedelta(days=400))
    price("search", 1)
    report(alice, [request_at(timezone.now(), units=Decimal(70))], charged=True)
    alert_on(alice, 90, AlertKind.RUNWAY_BELOW)

    for step in steps:
        post(alice, step)
        notify_runways(Round(), now=timezone.now())

    types = notices_of(alice)
    pairs = ["balance.runway_low", "balance.recovered"] * len(types)
    assert types == pairs[: len(types)]
