"""POST /v2/events when the database refuses the events of one customer: the others' events are recorded."""

from __future__ import annotations

import pytest

from ledger.selectors import balance_of
from ledger.services.reconciliation.checks import Scope
from tests.factories import customer_with
from tests.failing import LOCKED, REFUSED, TIMED_OUT, failing
from tests.usage.gateway import Gateway
from tests.usage.metering import price
from usage.models import RequestLog
from usage.services import events
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db(transaction=True)
PATH, OPENMETER = "/v2/events", "/api/v1/events"


@pytest.fixture
def people(transactional_db):
    price("search", 2)
    return [customer_with(100) for _ in range(3)]


@pytest.fixture
def gateway(people):
    yield Gateway()
    assert reconcile(Scope())[1] == []


def send(gateway, users, path=PATH):
    body = [
        {"id": f"{n}-{user.pk}", "source": "gateway", "subject": str(user.pk), "type": "search"}
        for n in range(2)
        for user in users
    ]
    return gateway.post(path, body, key=None)


def outcomes(answer):
    return [(each["status"], each.get("code")) for each in answer.json()["results"]]


def balances(people):
    return [int(balance_of(user_id=user.pk).balance) for user in people]


@pytest.mark.parametrize(
    ("state", "code"), [(TIMED_OUT, "unavailable"), (LOCKED, "unavailable"), (REFUSED, "internal_error")]
)
def test_events_of_one_failing_customer_are_rejected_and_the_others_are_recorded(gateway, people, state, code):
    with failing(people[1], "usage_requestlog", sqlstate=state):
        answer = send(gateway, people)
    first = balances(people)
    again = send(gateway, people)

    assert (answer.status_code, answer.headers["Retry-After"]) == (202, "5")
    assert outcomes(answer) == [("accepted", None), ("rejected", code), ("accepted", None)] * 2
    assert {name: answer.json()[name] for name in ("accepted", "duplicates", "rejected")} == {
        "accepted": 4, "duplicates": 0, "rejected": 2,
    }  # fmt: skip
    assert "broken" not in answer.content.decode()
    assert (first, balances(people)) == ([96, 100, 96], [96, 96, 96])
    assert outcomes(again) == [("duplicate", None), ("accepted", None), ("duplicate", None)] * 2
    assert "Retry-After" not in again.headers


@pytest.mark.parametrize("path", [PATH, OPENMETER])
@pytest.mark.parametrize(("state", "status"), [(TIMED_OUT, 503), (REFUSED, 500)])
def test_the_call_fails_when_no_customers_events_could_be_recorded(gateway, people, path, state, status):
    gateway.client.raise_request_exception = False
    with failing(people[1], "usage_requestlog", sqlstate=state):
        answer = send(gateway, people[1:2], path)

    assert answer.status_code == status
    assert answer.json()["code"] == ("unavailable" if status == 503 else "internal_error")
    assert ("Retry-After" in answer.headers) == (status == 503)
    assert send(gateway, people[1:2], path).status_code in {202, 204}


def test_openmeters_clients_are_asked_to_send_all_again(gateway, people):
    with failing(people[1], "usage_requestlog", sqlstate=TIMED_OUT):
        answer = send(gateway, people, OPENMETER)
    first = balances(people)

    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
    assert answer.json()["detail"] == "2 of 6 events could not be recorded now. Send all again."
    assert answer.headers["Retry-After"] == "5"
    assert answer.json()["rejected"] == 2
    assert send(gateway, people, OPENMETER).status_code == 204
    assert (first, balances(people)) == ([96, 100, 96], [96, 96, 96])


def test_a_call_ends_when_failures_have_taken_too_long(gateway, people, monkeypatch):
    monkeypatch.setattr(events, "monotonic", iter(range(100)).__next__)
    monkeypatch.setattr(events, "MOST_FAILING_SECONDS", 1)
    with failing(people[1], "usage_requestlog", sqlstate=TIMED_OUT):
        answer = send(gateway, people)

    assert outcomes(answer) == [("accepted", None), ("rejected", "unavailable"), ("rejected", "unavailable")] * 2
    assert RequestLog.objects.filter(user__in=people[1:]).count() == 0
    assert send(gateway, people).json()["accepted"] == 4
