"""`/auth/account/webhooks`: endpoints as customers manage them."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone
from standardwebhooks.webhooks import Webhook

from accounts.models import WebhookEndpoint
from accounts.services.webhooks.endpoints import create_endpoint, send_test
from tests.account import client_of
from tests.accounts.races import at_once
from tests.accounts.webhooks import deliveries, endpoint_of, tell
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db
PATH = "/auth/account/webhooks"
URL = "https://example.com/hooks?x=1"


@pytest.fixture
def alice():
    return UserFactory()


def made(user, **body):
    answer = client_of(user).post(PATH, {"url": URL, **body})
    assert answer.status_code == 201, answer.content
    return answer.json()


def test_a_new_endpoint_shows_its_secret_once(alice):
    endpoint = made(alice, description="mine", event_types=["balance.low", "balance.low"])

    shown = client_of(alice).get(f"{PATH}/{endpoint['id']}").json()
    assert client_of(alice).get(PATH).json()["results"] == [shown]
    assert endpoint == {**shown, "secret": endpoint["secret"]}
    assert endpoint["secret"].startswith("whsec_")
    assert Webhook(endpoint["secret"])
    assert shown | {"created_at": None} == {
        "id": endpoint["id"],
        "url": URL,
        "description": "mine",
        "event_types": ["balance.low"],
        "is_active": True,
        "disabled_at": None,
        "disabled_reason": None,
        "failing_since": None,
        "old_secret_until": None,
        "created_at": None,
    }


@pytest.mark.parametrize(
    "url",
    [
        "http://example.com",
        "ftp://example.com",
        "example.com",
        "https://",
        "https://user:password@example.com",
        "https://example.com@127.0.0.1/",
        "https://example.com/#part",
        "https://example.com\\@127.0.0.1/",
        "https://example.com:25/",
        "https://example.com:99999/",
        "https://example.com:x/",
        "https://exa mple.com/",
        "https://example.com/\r\nHost: x",
        "https://exämple.com/",
        "https://-a.com/",
        "https://" + "a" * 64 + ".com",
        "https://[::1",
        "https://127.0.0.1/",
        "https://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/",
        "https://[::1]/",
        "https://[::ffff:8.8.8.8]/",
        "https://[64:ff9b::8.8.8.8]/",
        "https://224.0.0.1/",
        "https://example.com/" + "a" * 2048,
    ],
)
def test_a_url_that_no_webhook_may_have_is_refused(alice, settings, url):
    settings.WEBHOOKS_HTTPS_ONLY = True

    answer = client_of(alice).post(PATH, {"url": url})

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["url"]


def test_plain_http_and_named_networks_are_accepted_when_the_site_allows_them(alice, settings):
    settings.WEBHOOKS_HTTPS_ONLY = False
    assert made(alice, url="http://example.com:8080/")

    assert client_of(alice).post(PATH, {"url": "http://127.0.0.1:8080/"}).status_code == 400


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "url"),
        ({"url": URL, "event_types": ["balance.funny"]}, "event_types"),
        ({"url": URL, "event_types": "balance.low"}, "event_types"),
        ({"url": URL, "description": "x" * 201}, "description"),
    ],
)
def test_other_fields_are_refused_by_name(alice, body, field):
    answer = client_of(alice).post(PATH, body)

    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])


def test_fields_that_are_not_sent_stay(alice):
    endpoint = made(alice, description="mine", event_types=["balance.low"])

    answer = client_of(alice).patch(f"{PATH}/{endpoint['id']}", {"url": "https://example.org/"})

    del endpoint["secret"]
    assert answer.json() == endpoint | {"url": "https://example.org/"}


def test_an_endpoint_is_turned_off_and_on(alice):
    path = f"{PATH}/{made(alice)['id']}"

    off = client_of(alice).patch(path, {"is_active": False}).json()
    again = client_of(alice).patch(path, {"is_active": False}).json()
    on = client_of(alice).patch(path, {"is_active": True}).json()

    assert (off["is_active"], off["disabled_reason"]) == (False, "customer")
    assert off == again
    assert (on["is_active"], on["disabled_at"], on["disabled_reason"]) == (True, None, None)


@pytest.mark.parametrize("body", [{"url": "https://localhost:25"}, {"event_types": ["x"]}, {"is_active": "yes"}])
def test_an_invalid_change_is_refused(alice, body):
    answer = client_of(alice).patch(f"{PATH}/{made(alice)['id']}", body)

    assert (answer.status_code, list(answer.json()["errors"])) == (400, list(body))


def test_a_deleted_endpoint_is_gone_and_makes_room(alice, settings):
    settings.WEBHOOKS_PER_CUSTOMER = 1
    path = f"{PATH}/{made(alice)['id']}"
    full = client_of(alice).post(PATH, {"url": URL})

    deleted = client_of(alice).delete(path)

    assert (full.status_code, full.json()["code"]) == (409, "webhook_limit_reached")
    assert deleted.status_code == 204
    assert client_of(alice).get(path).status_code == client_of(alice).delete(path).status_code == 404
    assert client_of(alice).get(PATH).json()["count"] == 0
    assert made(alice)


def test_a_new_secret_leaves_the_old_one_for_a_day(alice):
    endpoint = made(alice)

    answer = client_of(alice).post(f"{PATH}/{endpoint['id']}/rotate-secret").json()

    stored = WebhookEndpoint.objects.get()
    assert answer["secret"] == stored.secret != endpoint["secret"] == stored.old_secret
    left = dt.datetime.fromisoformat(answer["old_secret_until"]) - timezone.now()
    assert dt.timedelta(hours=23, minutes=59) < left <= dt.timedelta(hours=24)


def test_a_test_is_queued_whatever_the_types_are_and_for_this_endpoint_alone(alice):
    endpoint, other = made(alice, event_types=["grant.expiring"]), made(alice)

    answer = client_of(alice).post(f"{PATH}/{endpoint['id']}/test")

    assert answer.status_code == 202
    (delivery,) = client_of(alice).get(f"{PATH}/{endpoint['id']}/deliveries").json()["results"]
    assert (delivery["id"], delivery["type"]) == (answer.json()["delivery_id"], "webhook.test")
    assert client_of(alice).get(f"{PATH}/{other['id']}/deliveries").json()["count"] == 0


def test_tests_of_all_endpoints_are_limited_to_ten_a_minute_deleted_ones_included(alice):
    client = client_of(alice)
    first, second = made(alice)["id"], made(alice)["id"]
    codes = [client.post(f"{PATH}/{id}/test").status_code for id in [first, second] * 5]
    client.delete(f"{PATH}/{first}")
    third = made(alice)["id"]

    answer = client.post(f"{PATH}/{third}/test")

    assert codes == [202] * 10
    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert 0 < int(answer["Retry-After"]) <= 60
    other = UserFactory()
    assert client_of(other).post(f"{PATH}/{made(other)['id']}/test").status_code == 202


def test_tests_of_all_endpoints_are_limited_to_two_hundred_a_day(alice):
    endpoint = endpoint_of(alice)
    start = timezone.now() - dt.timedelta(hours=23)
    for number in range(200):
        send_test(user_id=alice.pk, endpoint_id=endpoint.pk, now=start + dt.timedelta(seconds=6 * number))

    answer = client_of(alice).post(f"{PATH}/{endpoint.pk}/test")

    assert answer.status_code == 429
    assert 3500 < int(answer["Retry-After"]) <= 3600


def test_creating_and_deleting_endpoints_is_limited(alice, settings):
    settings.WEBHOOKS_PER_CUSTOMER = 2
    client = client_of(alice)
    for _ in range(10):
        client.delete(f"{PATH}/{made(alice)['id']}")

    answer = client.post(PATH, {"url": "https://example.com/hooks"})

    assert (answer.status_code, answer.json()["code"]) == (429, "rate_limited")
    assert 86_000 < int(answer["Retry-After"]) <= 86_400
    assert WebhookEndpoint.objects.count() == 10


def test_tests_of_an_endpoint_are_limited_to_ten_a_minute(alice):
    path = f"{PATH}/{made(alice)['id']}/test"
    client = client_of(alice)

    answers = [client.post(path) for _ in range(11)]

    assert [answer.status_code for answer in answers] == [202] * 10 + [429]
    assert answers[-1].json()["code"] == "rate_limited"
    assert answers[-1]["Retry-After"]


def test_a_test_is_refused_when_the_endpoint_is_off(alice):
    path = f"{PATH}/{made(alice)['id']}"
    client_of(alice).patch(path, {"is_active": False})

    answer = client_of(alice).post(f"{path}/test")

    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_disabled")


def test_a_notice_goes_to_the_endpoints_that_want_it(alice):
    everything, low = endpoint_of(alice), endpoint_of(alice, URL, "balance.low", "balance.recovered")
    off, strangers = endpoint_of(alice), endpoint_of(UserFactory())
    client_of(alice).patch(f"{PATH}/{off.pk}", {"is_active": False})

    tell(alice, "balance.low")
    tell(alice, "grant.expiring")

    told = [[each.notice.type for each in deliveries(endpoint)] for endpoint in (everything, low, off, strangers)]
    assert told == [["balance.low", "grant.expiring"], ["balance.low"], [], []]


def test_a_deactivated_customer_gets_no_notice(alice):
    endpoint = endpoint_of(alice)
    alice.is_active = False
    alice.save()

    tell(alice)

    assert deliveries(endpoint) == []


@pytest.mark.django_db(transaction=True)
def test_endpoints_made_at_once_stay_within_the_limit(settings):
    settings.WEBHOOKS_PER_CUSTOMER = 3
    alice = UserFactory()

    def make():
        return create_endpoint(user_id=alice.pk, url=URL, description="", event_types=[], now=timezone.now())

    outcomes = at_once(8, make)

    assert sum(isinstance(outcome, WebhookEndpoint) for outcome in outcomes) == 3
    assert WebhookEndpoint.objects.of(alice.pk).count() == 3
