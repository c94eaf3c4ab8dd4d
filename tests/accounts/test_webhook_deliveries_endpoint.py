"""`/auth/account/webhooks/{id}/deliveries`: the delivery log, and sending again."""

from __future__ import annotations

import csv
import datetime as dt
import io
from decimal import Decimal

import pytest
import time_machine
from django.utils import timezone

from accounts.models import DeliveryState, WebhookDelivery
from accounts.providers.webhook_post import Answer
from accounts.services.webhooks.deliveries import claim_deliveries, note_attempt
from tests.account import client_of
from tests.accounts.webhooks import NOW, delivery_of, endpoint_of, tell
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


@pytest.fixture
def alice():
    return UserFactory()


@pytest.fixture
def endpoint(alice):
    return endpoint_of(alice)


def path_of(endpoint):
    return f"/auth/account/webhooks/{endpoint.pk}/deliveries"


def tried(*answers, now=NOW):
    for answer in answers:
        for prepared in claim_deliveries(now=now, most=10):
            note_attempt(prepared=prepared, answer=answer, at=now, now=now, jitter=0)


def test_the_log_has_each_delivery_newest_first(alice, endpoint):
    tell(alice)
    tried(Answer(200, None, 12, "ok"))
    tell(alice, "grant.expiring")
    tried(Answer(500, "Answered 500.", 7, "oh"))

    newest, oldest = client_of(alice).get(path_of(endpoint)).json()["results"]

    assert (newest["type"], newest["state"], newest["attempts"]) == ("grant.expiring", "pending", 1)
    assert (newest["last_status"], newest["last_error"]) == (500, "Answered 500.")
    assert newest["next_attempt_at"] == "2026-11-22T05:00:05Z"
    assert (oldest["state"], oldest["next_attempt_at"]) == ("delivered", None)
    assert oldest["delivered_at"] == "2026-11-22T05:00:00Z"
    assert oldest["message_id"].startswith("msg_")


def test_the_log_is_narrowed_by_state_and_paged_by_cursor(alice, endpoint):
    for _ in range(3):
        tell(alice)
    tried(Answer(200, None, 1))
    client = client_of(alice)

    pending = client.get(path_of(endpoint), {"status": "pending", "limit": 1}).json()
    rest = client.get(path_of(endpoint), {"status": "pending", "cursor": pending["next_cursor"]}).json()

    assert pending["count"] == 2
    assert [each["state"] for each in pending["results"] + rest["results"]] == ["pending", "pending"]
    assert client.get(path_of(endpoint), {"status": "lost"}).json()["errors"].keys() == {"status"}


def test_the_log_is_a_csv_too(alice, endpoint):
    tell(alice)

    answer = client_of(alice).get(path_of(endpoint), {"format": "csv"})

    (row,) = csv.DictReader(io.StringIO(answer.getvalue().decode("utf-8-sig")))
    assert (row["type"], row["state"], row["created_at"]) == ("balance.low", "pending", "2026-11-22T05:00:00Z")


def test_one_delivery_shows_its_message_and_every_attempt(alice, endpoint):
    tell(alice, available=Decimal("0.000001"))
    tried(Answer(None, "Took too long.", 15_000), Answer(200, None, 3, "ok"), now=NOW)
    tried(Answer(200, None, 3, "ok"), now=NOW.replace(minute=1))

    answer = client_of(alice).get(f"{path_of(endpoint)}/{delivery_of(endpoint).pk}")

    assert b'"data":{"available":0.000001}' in answer.content
    assert answer.json()["message"]["type"] == "balance.low"
    newest, oldest = answer.json()["log"]
    assert (newest["status"], newest["error"], newest["answer"]) == (200, None, "ok")
    assert oldest == {
        "at": "2026-11-22T05:00:00Z",
        "url": endpoint.url,
        "status": None,
        "error": "Took too long.",
        "milliseconds": 15_000,
        "answer": "",
    }


@pytest.mark.parametrize("state", [DeliveryState.DELIVERED, DeliveryState.FAILED, DeliveryState.PENDING])
def test_sending_again_makes_it_due_now_with_the_whole_schedule_before_it(alice, endpoint, state):
    tell(alice)
    delivery = delivery_of(endpoint)
    next_attempt_at = NOW if state == DeliveryState.PENDING else None
    WebhookDelivery.objects.update(state=state, next_attempt_at=next_attempt_at, failures=5, attempts=5)

    answer = client_of(alice).post(f"{path_of(endpoint)}/{delivery.pk}/resend")

    assert (answer.status_code, answer.json()["state"]) == (202, "pending")
    again = delivery_of(endpoint)
    assert again.due_since == again.next_attempt_at > NOW
    assert (again.failures, again.attempts) == (0, 5)


def test_one_delivery_is_sent_again_every_ten_seconds_at_most(alice, endpoint):
    tell(alice)
    path = f"{path_of(endpoint)}/{delivery_of(endpoint).pk}/resend"

    with time_machine.travel(NOW, tick=False):
        codes, due = [], []
        for _ in range(3):
            codes.append(client_of(alice).post(path).status_code)
            due.append(delivery_of(endpoint).next_attempt_at - NOW)

    assert codes == [202, 202, 202]
    assert due == [dt.timedelta(seconds=seconds) for seconds in (0, 10, 20)]


def test_resending_is_limited_to_sixty_deliveries_a_minute(alice, endpoint):
    for _ in range(61):
        tell(alice)
    client = client_of(alice)
    pks = WebhookDelivery.objects.order_by("pk").values_list("pk", flat=True)

    answers = [client.post(f"{path_of(endpoint)}/{pk}/resend") for pk in pks]

    assert [answer.status_code for answer in answers] == [202] * 60 + [429]
    assert 0 < int(answers[-1]["Retry-After"]) <= 60
    WebhookDelivery.objects.update(resent_at=timezone.now() - dt.timedelta(minutes=1))
    assert client.post(f"{path_of(endpoint)}/{pks[60]}/resend").status_code == 202


def test_a_delivery_in_progress_is_not_sent_twice(alice, endpoint, settings):
    tell(alice)
    delivery = delivery_of(endpoint)

    (prepared,) = claim_deliveries(now=timezone.now(), most=1)

    answer = client_of(alice).post(f"{path_of(endpoint)}/{delivery.pk}/resend")

    assert answer.status_code == 202
    assert delivery_of(endpoint).claim == prepared.claim


def test_resending_is_refused_when_the_endpoint_is_off(alice, endpoint):
    tell(alice)
    client_of(alice).patch(f"/auth/account/webhooks/{endpoint.pk}", {"is_active": False})

    answer = client_of(alice).post(f"{path_of(endpoint)}/{delivery_of(endpoint).pk}/resend")

    assert (answer.status_code, answer.json()["code"]) == (409, "webhook_disabled")


def test_a_stranger_and_another_endpoint_of_ones_own_find_no_such_delivery(alice, endpoint):
    tell(alice)
    other, stranger = endpoint_of(alice), endpoint_of(UserFactory())
    delivery = delivery_of(endpoint)

    answers = [
        client_of(user).get(f"{path_of(of)}/{delivery.pk}") if verb == "get" else
        client_of(user).post(f"{path_of(of)}/{delivery.pk}/resend")
        for user, of in ((alice, other), (stranger.user, endpoint), (stranger.user, stranger))
        for verb in ("get", "post")
    ]  # fmt: skip

    assert [answer.status_code for answer in answers] == [404] * 6
