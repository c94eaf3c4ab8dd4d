"""`manage.py deliver_webhooks`: over real connections to a server of the test's own."""

from __future__ import annotations

import datetime as dt
import threading
import time
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from accounts.models import WebhookAttempt, WebhookDelivery
from accounts.services.webhooks.deliveries import LEASE, claim_deliveries
from accounts.services.webhooks.endpoints import rotate_secret
from accounts.services.webhooks.rounds import IN_FLIGHT_PER_ENDPOINT, deliver_due
from config.rounds import Round
from config.values.timestamps import instant_text
from tests.accounts import webhooks
from tests.accounts.races import at_once
from tests.accounts.receivers import LOOPBACK, receiving
from tests.accounts.webhooks import NOW, delivery_of, endpoint_of
from tests.factories import UserFactory
from tests.ledger.running import run

pytestmark = pytest.mark.django_db
NOTHING = {"due": 0, "delivered": 0, "retried": 0, "failed": 0, "removed": 0, "errors": 0, "dry_run": False}


@pytest.fixture(autouse=True)
def _loopback_may_be_reached(settings):
    settings.WEBHOOKS_MAY_REACH = [LOOPBACK]


@pytest.fixture
def alice():
    return UserFactory()


def tell(user, *, now=None, **data):
    """Write a new notice to a customer, at the time that the command will read from the clock."""
    webhooks.tell(user, now=now or timezone.now(), **data)


def slowly(seconds):
    def answer(handler):
        time.sleep(seconds)
        handler.send_response(204)
        handler.end_headers()

    return answer


def test_a_due_delivery_is_delivered_once_and_signed(alice):
    with receiving() as receiver:
        endpoint = endpoint_of(alice, receiver.url())
        tell(alice, available=Decimal("12.500000"), note="café")

        first, second = run("deliver_webhooks", "--json"), run("deliver_webhooks", "--json")

    assert (first.json, second.json) == (NOTHING | {"due": 1, "delivered": 1}, NOTHING)
    (message,) = receiver.got
    assert message.headers["content-type"] == "application/json"
    assert message.headers["webhook-id"] == f"msg_{delivery_of(endpoint).notice.message_id.hex}"
    assert Webhook(endpoint.secret).verify(message.body, message.headers) == {
        "type": "balance.low",
        "timestamp": instant_text(delivery_of(endpoint).notice.created_at),
        "data": {"available": 12.5, "note": "café"},
    }
    with pytest.raises(WebhookVerificationError):
        Webhook(endpoint.secret).verify(message.body.replace(b"12.5", b"99.5"), message.headers)


def test_after_a_new_secret_either_of_both_verifies(alice):
    with receiving() as receiver:
        endpoint = endpoint_of(alice, receiver.url())
        tell(alice)
        new = rotate_secret(user_id=alice.pk, endpoint_id=endpoint.pk, now=timezone.now()).secret

        run("deliver_webhooks")

    (message,) = receiver.got
    assert len(message.headers["webhook-signature"].split(" ")) == 2
    for secret in (endpoint.secret, new):
        assert Webhook(secret).verify(message.body, message.headers)


def test_a_failure_is_tried_again_under_the_same_id_when_its_time_has_come(alice):
    with receiving(answer=503) as receiver:
        endpoint = endpoint_of(alice, receiver.url())
        tell(alice)
        failed = run("deliver_webhooks", "--json").json
        receiver.answer = 200
        early = run("deliver_webhooks", "--json").json
        WebhookDelivery.objects.update(next_attempt_at=timezone.now())
        delivered = run("deliver_webhooks", "--json").json

    assert (failed, early) == (NOTHING | {"due": 1, "retried": 1}, NOTHING)
    assert delivered == NOTHING | {"due": 1, "delivered": 1}
    assert len({message.headers["webhook-id"] for message in receiver.got}) == 1
    log = WebhookAttempt.objects.filter(delivery=delivery_of(endpoint)).order_by("id")
    assert [(attempt.status, attempt.answer) for attempt in log] == [(503, "thanks"), (200, "thanks")]


def test_an_address_that_is_not_public_is_never_contacted(alice, settings):
    with receiving() as receiver:
        endpoint = endpoint_of(alice, receiver.url(host="localhost"))
        tell(alice)
        settings.WEBHOOKS_MAY_REACH = []

        run("deliver_webhooks")

    assert receiver.got == []
    assert delivery_of(endpoint).last_error == "The host's address is not public."


def test_a_slow_endpoint_delays_no_other_and_gets_few_at_once(alice):
    with receiving(answer=slowly(0.3)) as slow, receiving() as quick:
        endpoint_of(alice, slow.url())
        for _ in range(6):
            tell(alice)
        other = UserFactory()
        endpoint_of(other, quick.url())
        for _ in range(6):
            tell(other)
        began, quick_done_after = time.monotonic(), []
        quick.answer = lambda handler: (quick_done_after.append(time.monotonic() - began), slowly(0)(handler))

        done = run("deliver_webhooks", "--json").json

    assert done["delivered"] == 12
    assert slow.most_at_once == IN_FLIGHT_PER_ENDPOINT
    assert max(quick_done_after) < 0.8 < time.monotonic() - began


def test_a_round_begins_nothing_when_its_time_is_over(alice):
    with receiving(answer=slowly(0.4)) as slow:
        endpoint_of(alice, slow.url())
        for _ in range(IN_FLIGHT_PER_ENDPOINT + 3):
            tell(alice)

        done = deliver_due(Round("endpoint"), seconds=0.2)

    assert done.attempts == {"delivered": IN_FLIGHT_PER_ENDPOINT}
    assert WebhookDelivery.objects.filter(claim=None, state="pending").count() == 3


def test_a_bug_in_one_delivery_does_not_stop_the_others(alice):
    def send(prepared, now):
        raise ZeroDivisionError

    endpoint = endpoint_of(alice)
    tell(alice, now=NOW)

    done = deliver_due(Round("endpoint"), seconds=5, clock=lambda: NOW, send=send)

    assert done.attempts == {"pending": 1}
    assert delivery_of(endpoint).last_error == "It could not be sent."


def test_no_transaction_is_open_during_a_network_call(alice):
    seen = []

    def send(prepared, now):
        seen.append(threading.current_thread() is not threading.main_thread())
        raise ZeroDivisionError

    endpoint_of(alice)
    tell(alice, now=NOW)
    depth = len(connection.savepoint_ids)

    deliver_due(Round("endpoint"), seconds=5, clock=lambda: NOW, send=send)

    assert seen == [True]  # a thread that has no connection of its own
    assert len(connection.savepoint_ids) == depth


def test_a_dry_run_counts_and_sends_nothing(alice):
    with receiving() as receiver:
        endpoint_of(alice, receiver.url())
        tell(alice)

        ran = run("deliver_webhooks", "--dry-run", "--json")

    assert ran.json == NOTHING | {"due": 1, "dry_run": True}
    assert receiver.got == []


@pytest.mark.parametrize("seconds", ["0", "-1", "x", "3601", "1.5"])
def test_odd_seconds_are_wrong_usage(seconds):
    assert run("deliver_webhooks", "--seconds", seconds).code == 2


@pytest.mark.django_db(transaction=True)
def test_deliverers_at_once_deliver_each_message_once():
    alice = UserFactory()
    with receiving() as receiver:
        for path in ("/a", "/b"):
            endpoint_of(alice, receiver.url(path))
        for _ in range(10):
            tell(alice)

        outcomes = at_once(3, lambda: deliver_due(Round("endpoint"), seconds=20))

    assert sum(outcome.attempts["delivered"] for outcome in outcomes) == 20
    assert len(receiver.got) == len({(each.path, each.headers["webhook-id"]) for each in receiver.got}) == 20


@pytest.mark.django_db(transaction=True)
def test_a_delivery_claimed_by_a_killed_sender_is_delivered_after_its_lease():
    alice = UserFactory()
    with receiving() as receiver:
        endpoint = endpoint_of(alice, receiver.url())
        tell(alice)
        assert claim_deliveries(now=timezone.now(), most=1)  # by a sender that then dies

        meanwhile = deliver_due(Round("endpoint"), seconds=5)
        later = deliver_due(
            Round("endpoint"), seconds=5, clock=lambda: timezone.now() + LEASE + dt.timedelta(seconds=1)
        )

    assert (meanwhile.attempts, later.attempts) == ({}, {"delivered": 1})
    assert len(receiver.got) == 1
    assert delivery_of(endpoint).state == "delivered"
