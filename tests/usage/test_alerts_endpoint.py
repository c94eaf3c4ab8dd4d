import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from ledger.models import Threshold
from tests.account import client_of
from tests.accounts.races import at_once
from tests.factories import StaffFactory, UserFactory, customer_with
from usage.models import Alert, AlertKind
from usage.services.alerts.actions import MOST_ALERTS, create_alert

pytestmark = pytest.mark.django_db
PATH = "/auth/account/alerts"


@pytest.fixture
def alice(db) -> User:
    return customer_with(100)


def made(user: User, **asked: object) -> dict:
    answer = client_of(user).post(PATH, {"kind": "balance_below", "credits": 50} | asked)
    assert answer.status_code == 201, answer.content
    return answer.json()


def default_of(user: User, kind: str) -> int:
    client_of(user).get(PATH)
    return Alert.objects.get(user=user, kind=kind).pk


def thresholds(user: User) -> dict[str, Decimal]:
    return dict(Threshold.objects.filter(user=user).values_list("name", "below"))


def test_every_customer_has_alerts_for_depletion_and_for_grants_a_week_before_they_expire(alice):
    for _ in range(2):
        page = client_of(alice).get(PATH).json()

    shown = [(one["kind"], one["credits"], one["days"], one["is_enabled"], one["by_email"]) for one in page["results"]]
    assert (page["count"], page["next"]) == (2, None)
    assert sorted(shown) == [("depleted", None, None, True, True), ("grant_expiring", None, 7, True, True)]


def test_an_alert_has_these_fields_and_no_others(alice):
    answer = made(alice, credits="12.5", by_email=False)

    created_at = answer.pop("created_at")
    assert dt.datetime.fromisoformat(created_at) <= timezone.now()
    assert answer == {
        "id": Alert.objects.get(kind="balance_below").pk,
        "kind": "balance_below",
        "credits": 12.5,
        "days": None,
        "is_enabled": True,
        "by_email": False,
        "crossed_at": None,
    }


def test_alerts_come_newest_first_page_by_page(alice):
    first, second = made(alice), made(alice, credits=20)
    client = client_of(alice)

    page = client.get(PATH, {"limit": 2}).json()
    rest = client.get(PATH, {"limit": 2, "offset": 2}).json()

    assert [one["id"] for one in page["results"]] == [second["id"], first["id"]]
    assert (page["count"], len(rest["results"])) == (4, 2)


def test_an_alert_on_credits_is_watched_by_the_ledger_and_one_on_days_is_not(alice):
    answer = made(alice)
    client_of(alice).post(PATH, {"kind": "runway_below", "days": 14})

    assert thresholds(alice) == {f"alert-{answer['id']}": 50}


def test_one_that_is_made_switched_off_is_not_watched(alice):
    made(alice, is_enabled=False)

    assert thresholds(alice) == {}


@pytest.mark.parametrize(
    ("asked", "field"),
    [
        ({}, "kind"),
        ({"kind": "depleted"}, "kind"),
        ({"kind": "grant_expiring", "days": 3}, "kind"),
        ({"kind": "balance_below"}, "credits"),
        ({"kind": "balance_below", "days": 3}, "credits"),
        ({"kind": "balance_below", "credits": 1, "days": 3}, "days"),
        ({"kind": "balance_below", "credits": 0}, "credits"),
        ({"kind": "balance_below", "credits": -1}, "credits"),
        ({"kind": "balance_below", "credits": None}, "credits"),
        ({"kind": "balance_below", "credits": "0.0000001"}, "credits"),
        ({"kind": "balance_below", "credits": 1_000_000_000}, "credits"),
        ({"kind": "runway_below"}, "days"),
        ({"kind": "runway_below", "credits": 1}, "days"),
        ({"kind": "runway_below", "days": 0}, "days"),
        ({"kind": "runway_below", "days": 366}, "days"),
        ({"kind": "runway_below", "days": 1.5}, "days"),
        ({"kind": "runway_below", "days": "3"}, "days"),
        ({"kind": "runway_below", "days": 3, "is_enabled": "yes"}, "is_enabled"),
        ({"kind": "runway_below", "days": 3, "by_email": 1}, "by_email"),
    ],
    ids=str,
)
def test_an_invalid_alert_is_refused_by_name(alice, asked, field):
    answer = client_of(alice).post(PATH, asked)

    assert (answer.status_code, answer.json()["code"], list(answer.json()["errors"])) == (400, "invalid", [field])
    assert not Alert.objects.filter(kind__in=["balance_below", "runway_below"]).exists()


def test_the_same_alert_is_not_made_twice(alice):
    made(alice, credits=50)

    again = client_of(alice).post(PATH, {"kind": "balance_below", "credits": "50.0"})

    assert (again.status_code, again.json()["code"]) == (409, "alert_exists")
    assert Alert.objects.filter(kind="balance_below").count() == 1


def test_there_is_a_limit_to_how_many_one_may_have(alice):
    for days in range(1, MOST_ALERTS - 1):
        create_alert(user_id=alice.pk, kind=AlertKind.RUNWAY_BELOW, threshold=days, now=timezone.now())

    answer = client_of(alice).post(PATH, {"kind": "balance_below", "credits": 5})

    assert (answer.status_code, answer.json()["code"], answer.json()["limit"]) == (409, "alert_limit_reached", 20)
    assert (Alert.objects.count(), thresholds(alice)) == (MOST_ALERTS, {})


def test_another_threshold_starts_over_and_unnamed_fields_stay(alice):
    alert = made(alice, by_email=False)
    Alert.objects.filter(pk=alert["id"]).update(crossed_at=timezone.now())

    answer = client_of(alice).patch(f"{PATH}/{alert['id']}", {"credits": "60.5"})

    assert answer.status_code == 200
    assert answer.json() == alert | {"credits": 60.5}
    assert thresholds(alice) == {f"alert-{alert['id']}": Decimal("60.5")}


def test_the_same_threshold_again_changes_nothing(alice):
    alert = made(alice, credits=150)
    since = timezone.now()
    Alert.objects.filter(pk=alert["id"]).update(crossed_at=since)

    answer = client_of(alice).patch(f"{PATH}/{alert['id']}", {"credits": 150.0, "by_email": False})

    assert dt.datetime.fromisoformat(answer.json()["crossed_at"]) == since
    assert answer.json()["by_email"] is False


def test_switching_off_ends_the_watch_and_switching_on_begins_it(alice):
    alert = made(alice)
    client = client_of(alice)

    off = client.patch(f"{PATH}/{alert['id']}", {"is_enabled": False}).json()
    while_off = thresholds(alice)
    client.patch(f"{PATH}/{alert['id']}", {"is_enabled": True})

    assert (off["is_enabled"], while_off) == (False, {})
    assert list(thresholds(alice)) == [f"alert-{alert['id']}"]


def test_the_days_before_an_expiry_can_be_others(alice):
    answer = client_of(alice).patch(f"{PATH}/{default_of(alice, 'grant_expiring')}", {"days": 30})

    assert (answer.status_code, answer.json()["days"]) == (200, 30)


@pytest.mark.parametrize(
    ("kind", "changes"), [("depleted", {"credits": 5}), ("depleted", {"days": 5}), ("grant_expiring", {"credits": 5})]
)
def test_a_threshold_that_a_kind_does_not_have_is_refused_by_name(alice, kind, changes):
    answer = client_of(alice).patch(f"{PATH}/{default_of(alice, kind)}", changes)

    assert (answer.status_code, list(answer.json()["errors"])) == (400, list(changes))


def test_changing_one_into_another_that_is_there_is_refused(alice):
    made(alice, credits=20)
    alert = made(alice, credits=50)

    answer = client_of(alice).patch(f"{PATH}/{alert['id']}", {"credits": 20})

    assert (answer.status_code, answer.json()["code"]) == (409, "alert_exists")
    assert thresholds(alice)[f"alert-{alert['id']}"] == 50


def test_a_removed_alert_is_gone_with_its_threshold(alice):
    alert = made(alice)
    client = client_of(alice)

    first, again = (client.delete(f"{PATH}/{alert['id']}").status_code for _ in range(2))

    assert (first, again) == (204, 404)
    assert thresholds(alice) == {}


@pytest.mark.parametrize("kind", ["depleted", "grant_expiring"])
def test_the_usual_alerts_are_switched_off_and_not_removed(alice, kind):
    path = f"{PATH}/{default_of(alice, kind)}"

    removed = client_of(alice).delete(path)
    switched = client_of(alice).patch(path, {"is_enabled": False})

    assert (removed.status_code, removed.json()["code"]) == (409, "alert_stays")
    assert switched.json()["is_enabled"] is False


@pytest.mark.parametrize("parameter", [("limit", "0"), ("offset", "-1"), ("cursor", "x")])
def test_invalid_parameters_are_refused_by_name(alice, parameter):
    answer = client_of(alice).get(PATH, dict([parameter]))

    assert (answer.status_code, list(answer.json()["errors"])) == (400, [parameter[0]])


def test_strangers_staff_and_anonymous_callers_cannot_reach_an_alert(alice):
    path = f"{PATH}/{made(alice)['id']}"

    for other in (UserFactory(), StaffFactory(is_superuser=True)):
        client = client_of(other)
        assert client.get(PATH).json()["count"] == 2
        assert client.patch(path, {"credits": 1}).status_code == 404
        assert client.delete(path).status_code == 404
    for call in ("get", "post"):
        assert getattr(APIClient(), call)(PATH).status_code == 401
    for call in ("patch", "delete"):
        assert getattr(APIClient(), call)(path).status_code == 401


@pytest.mark.django_db(transaction=True)
def test_concurrent_creations_never_exceed_the_limit():
    alice = UserFactory()
    for days in range(1, MOST_ALERTS - 3):
        create_alert(user_id=alice.pk, kind=AlertKind.RUNWAY_BELOW, threshold=days, now=timezone.now())
    numbers = iter(range(100, 110))

    at_once(
        6,
        lambda: create_alert(
            user_id=alice.pk, kind=AlertKind.RUNWAY_BELOW, threshold=next(numbers), now=timezone.now()
        ),
    )

    assert Alert.objects.filter(user=alice).count() == MOST_ALERTS


@pytest.mark.django_db(transaction=True)
def test_concurrent_reads_create_the_usual_alerts_once():
    alice = UserFactory()
    client = client_of(alice)

    at_once(4, lambda: client.get(PATH))

    assert Alert.objects.filter(user=alice).count() == 2
