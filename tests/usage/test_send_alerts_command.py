"""`send_alerts`: each crossing is announced once, however often it runs."""

import datetime as dt
from decimal import Decimal

import pytest
from django.core import mail
from django.utils import timezone

from accounts.models import Notice, User
from config.cli.run_lock import run_lock
from ledger.services.thresholds import rearm
from tests.account import client_of
from tests.factories import UserFactory, customer_with
from tests.ledger.granting import extended, granted
from tests.ledger.posting import allow_overdraft, hold, post
from tests.ledger.running import run
from tests.usage.metering import price, report, request_at
from usage.models import Alert, AlertKind
from usage.services.alerts.actions import alerts_of, change_alert, create_alert, remove_alert

pytestmark = pytest.mark.django_db(transaction=True)
NOTHING = {"low": 0, "depleted": 0, "runway_low": 0, "recovered": 0, "grants_expiring": 0, "emails": 0}


@pytest.fixture
def alice(transactional_db) -> User:
    return customer_with(100, email="alice@example.com", full_name="Alice")


def alert_on(user: User, threshold: int | str, kind: AlertKind = AlertKind.BALANCE_BELOW, **asked: bool) -> Alert:
    worth = Decimal(threshold) if kind == AlertKind.BALANCE_BELOW else int(threshold)
    return create_alert(user_id=user.pk, kind=kind, threshold=worth, now=timezone.now(), **asked)


def default(user: User, kind: AlertKind) -> Alert:
    return alerts_of(user_id=user.pk, now=timezone.now()).get(kind=kind)


def send(**more: object) -> dict:
    """Run the command, and return its counts, except the newly watched customers."""
    ran = run("send_alerts", "--json", *(f"--{name.replace('_', '-')}" for name in more))
    assert ran.code == 0, ran.err
    return {name: ran.json[name] for name in NOTHING}


def sent_notices(user: User | None = None) -> list[str]:
    notices = Notice.objects.order_by("pk") if user is None else Notice.objects.of(user.pk).order_by("pk")
    return list(notices.values_list("type", flat=True))


def spend_a_week_of(user: User, credits: int) -> None:
    """Record this usage, over the last seven full days and today, for an old account."""
    User.objects.filter(pk=user.pk).update(created_at=timezone.now() - dt.timedelta(days=400))
    price("search", 1)
    report(user, [request_at(timezone.now(), units=Decimal(credits))], charged=True)


def test_a_crossing_is_announced_once_by_email_and_in_data(alice):
    alert = alert_on(alice, 50)
    before = send()
    post(alice, -60)

    first, again = send(), send()

    assert (before, again) == (NOTHING, NOTHING)
    assert first == NOTHING | {"low": 1, "emails": 1}
    (notice,) = Notice.objects.all()
    alert.refresh_from_db()
    assert (notice.user, notice.type) == (alice, "balance.low")
    assert notice.data.pop("crossed_at") is not None
    assert notice.data == {
        "alert_id": alert.pk, "kind": "balance_below", "credits": 50, "days": None, "available": 40,
        "burn_rate_per_day": 0, "days_left": None,
    }  # fmt: skip
    (email,) = mail.outbox
    assert (email.subject, email.to) == ("Low on credits: 40 credits left", ["alice@example.com"])
    assert email.body.startswith("Your available credits fell below 50 credits on ")
    assert "  Available   40 credits\n  Threshold   50 credits\n  Burn rate   0 credits a day\n" in email.body
    assert "Top up: http://127.0.0.1:8000/\n" in email.body
    assert f'PATCH /auth/account/alerts/{alert.pk} with {{"is_enabled": false}}' in email.body


def test_an_announced_customer_sees_since_when_the_alert_is_active(alice):
    alert = alert_on(alice, 50)
    post(alice, -60)
    send()

    shown = client_of(alice).get("/auth/account/alerts").json()["results"][0]

    assert (shown["id"], shown["crossed_at"] is not None) == (alert.pk, True)


def test_a_return_is_announced_once_and_the_next_crossing_again(alice):
    alert_on(alice, 50)
    for change in (-60, 20, -20):
        post(alice, change)
        send()
        send()

    assert sent_notices() == ["balance.low", "balance.recovered", "balance.low"]
    assert [email.subject for email in mail.outbox] == [
        "Low on credits: 40 credits left",
        "Credits are back: 60 credits available",
        "Low on credits: 40 credits left",
    ]
    assert "are back at 50 credits or above" in mail.outbox[1].body


def test_reaching_the_threshold_from_above_is_no_crossing_and_from_below_a_return(alice):
    alert_on(alice, 50)
    post(alice, -50)
    on_it = send()
    post(alice, -1)
    send()
    post(alice, 1)

    assert on_it == NOTHING
    assert send()["recovered"] == 1


def test_a_crossing_that_is_over_before_its_notice_is_announced_without_an_email(alice):
    alert_on(alice, 50)
    post(alice, -60)
    post(alice, 60)

    assert send() == NOTHING | {"low": 1, "recovered": 1}
    assert sent_notices() == ["balance.low", "balance.recovered"]
    assert mail.outbox == []
    assert send() == NOTHING


def test_a_return_armed_by_another_run_is_announced_all_the_same(alice):
    alert_on(alice, 50)
    post(alice, -60)
    send()
    post(alice, 60)
    rearm(user_id=alice.pk)
    post(alice, -60)

    assert send() == NOTHING | {"recovered": 1, "low": 1, "emails": 2}
    assert sent_notices() == ["balance.low", "balance.recovered", "balance.low"]


def test_an_alert_that_applies_when_it_is_made_is_announced(alice):
    alert_on(alice, 150)

    assert send()["low"] == 1


def test_depletion_is_announced_to_every_customer_unasked(alice):
    send()
    post(alice, -100)

    first, again = send(), send()
    post(alice, 5)
    back = send()

    assert (first, again) == (NOTHING | {"depleted": 1, "emails": 1}, NOTHING)
    assert back == NOTHING | {"recovered": 1, "emails": 1}
    assert mail.outbox[0].subject == "No credits left"
    assert "Until there are more, requests that cost credits may be refused." in mail.outbox[0].body
    assert "Days left   0\n" in mail.outbox[0].body
    assert "You have credits again." in mail.outbox[1].body


def test_depletion_before_the_first_run_is_announced_too(alice):
    post(alice, -100)

    assert send()["depleted"] == 1


def test_depletion_long_ago_is_not_announced_until_there_were_credits_again(alice, owner):
    post(alice, -100)
    owner.execute("ALTER TABLE ledger_balance DISABLE TRIGGER USER")
    owner.execute("UPDATE ledger_balance SET updated_at = now() - interval '2 days'")
    owner.execute("ALTER TABLE ledger_balance ENABLE TRIGGER USER")
    owner.commit()

    first = send()
    post(alice, 10)
    post(alice, -10)

    assert first == NOTHING
    assert send()["depleted"] == 1


def test_a_customer_who_never_had_credits_is_sent_nothing():
    bob = UserFactory()
    client_of(bob).get("/auth/account/alerts")
    allow_overdraft(bob, 5)

    assert send() == NOTHING


def test_held_credits_are_not_available(alice):
    send()
    hold(alice, 100)

    assert send()["depleted"] == 1


def test_a_switched_off_alert_is_not_announced(alice):
    low = alert_on(alice, 50)
    for alert in (low, default(alice, AlertKind.DEPLETED), default(alice, AlertKind.GRANT_EXPIRING)):
        change_alert(user_id=alice.pk, alert_id=alert.pk, changes={"is_enabled": False})
    granted(alice, 5, days=1)
    post(alice, -105)

    assert send() == NOTHING
    assert run("send_alerts", "--json").json["newly_watched"] == 0


def test_switching_depleted_on_again_announces_the_next_time(alice):
    depleted = default(alice, AlertKind.DEPLETED)
    change_alert(user_id=alice.pk, alert_id=depleted.pk, changes={"is_enabled": False})
    send()
    change_alert(user_id=alice.pk, alert_id=depleted.pk, changes={"is_enabled": True})
    send()
    post(alice, -100)

    assert send()["depleted"] == 1


def test_only_webhooks_are_announced_without_email(alice):
    alert_on(alice, 50, by_email=False)
    post(alice, -60)

    assert send() == NOTHING | {"low": 1}
    assert Notice.objects.get().subject is None


def test_another_threshold_starts_over_without_a_notice(alice):
    alert = alert_on(alice, 50)
    post(alice, -60)
    send()
    change_alert(user_id=alice.pk, alert_id=alert.pk, changes={"credits": Decimal(30)})

    quiet = send()
    post(alice, -20)

    assert quiet == NOTHING
    assert send()["low"] == 1


def test_a_removed_alert_announces_nothing_more(alice):
    alert = alert_on(alice, 50)
    post(alice, -60)
    send()
    remove_alert(user_id=alice.pk, alert_id=alert.pk)
    post(alice, 60)

    assert send() == NOTHING


def test_one_move_may_cross_several_alerts_and_each_is_announced(alice):
    for credits in (80, 60, 20):
        alert_on(alice, credits)
    post(alice, -70)

    assert send()["low"] == 2
    assert {notice.data["credits"] for notice in Notice.objects.all()} == {80, 60}


def test_an_expiring_grant_is_announced_once_with_what_is_left_of_it(alice):
    soon, later = granted(alice, 40, days=6.9), granted(alice, 40, days=7.1)
    post(alice, -10)

    first, again = send(), send()

    assert (first, again) == (NOTHING | {"grants_expiring": 1, "emails": 1}, NOTHING)
    (notice,) = Notice.objects.all()
    assert (notice.type, notice.key) == ("grant.expiring", f"grant-{soon.pk}")
    assert (notice.data["grant_id"], notice.data["credits"], notice.data["available"]) == (soon.pk, 30, 170)
    assert mail.outbox[0].subject.startswith("30 credits expire on ")
    assert f"30 credits of grant {soon.pk} expire on " in mail.outbox[0].body
    assert later.pk not in [notice.data["grant_id"] for notice in Notice.objects.all()]


def test_a_grant_that_staff_let_end_later_is_announced_again_before_its_new_end(alice):
    soon = granted(alice, 40, days=5)
    first = send()

    extended(soon, days=1)
    second, third = send(), send()

    assert (first["grants_expiring"], second["grants_expiring"], third["grants_expiring"]) == (1, 1, 0)
    days = {notice.data["expires_at"] for notice in Notice.objects.all()}
    assert len(days) == 2


def test_a_grant_spent_meanwhile_is_not_announced(alice):
    granted(alice, 40, days=5)
    post(alice, -45)

    assert send() == NOTHING


def test_more_days_before_an_expiry_announce_later_grants(alice):
    granted(alice, 40, days=20)
    first = send()
    expiring = default(alice, AlertKind.GRANT_EXPIRING)
    change_alert(user_id=alice.pk, alert_id=expiring.pk, changes={"days": 30})

    assert first == NOTHING
    assert send()["grants_expiring"] == 1


def test_a_runway_that_becomes_short_is_announced_and_again_once_it_was_long(alice):
    alert_on(alice, 10, AlertKind.RUNWAY_BELOW)
    spend_a_week_of(alice, 40)  # 60 are left, and last for 10 days and more
    long_enough = send()
    post(alice, -30)

    short, still = send(), send()
    post(alice, 300)
    back = send()

    assert (long_enough, still) == (NOTHING, NOTHING)
    assert short == NOTHING | {"runway_low": 1, "emails": 1}
    assert back == NOTHING | {"recovered": 1, "emails": 1}
    assert mail.outbox[0].subject.startswith("Your credits last about ")
    assert "your credits last fewer than 10 days." in mail.outbox[0].body
    assert "Your credits last longer than 10 days again." in mail.outbox[1].body
    low, recovered = Notice.objects.order_by("pk")
    assert (low.type, low.data["days"], low.data["available"]) == ("balance.runway_low", 10, 30)
    assert recovered.data["kind"] == "runway_below"


def test_a_runway_counts_credits_that_expire_first(alice):
    granted(alice, 1000, days=6, priority=0)
    alert_on(alice, 12, AlertKind.RUNWAY_BELOW)
    spend_a_week_of(alice, 150)  # 950 would last for 45 days, but most of them are gone after six

    assert send() == NOTHING | {"runway_low": 1, "grants_expiring": 1, "emails": 2}


def test_the_runways_of_many_are_found_in_a_fixed_number_of_statements(alice, django_assert_max_num_queries):
    for number in range(12):
        alert_on(customer_with(100, email=f"{number}@example.com"), 10, AlertKind.RUNWAY_BELOW)
    send()

    with django_assert_max_num_queries(20):
        send()


def test_a_deactivated_customer_gets_no_email(alice):
    alert_on(alice, 50)
    post(alice, -60)
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert send() == NOTHING | {"low": 1}


def test_a_dry_run_counts_and_announces_nothing(alice):
    bob = customer_with(100, email="bob@example.com")
    alert_on(alice, 50)
    alert_on(alice, 10, AlertKind.RUNWAY_BELOW)
    alert_on(bob, 50)
    post(bob, -60)
    send()
    post(bob, 60)
    granted(bob, 5, days=2)
    spend_a_week_of(alice, 90)

    counted = send(dry_run=True)

    assert counted == NOTHING | {"low": 1, "runway_low": 1, "recovered": 1, "grants_expiring": 1}
    assert sent_notices() == ["balance.low"]
    assert send() == counted | {"emails": 4}


def test_a_second_run_at_the_same_time_is_turned_away(monkeypatch):
    monkeypatch.setitem(run_lock.__wrapped__.__kwdefaults__, "wait_seconds", 0.1)

    with run_lock("send_alerts"):
        assert run("send_alerts").code == 4
