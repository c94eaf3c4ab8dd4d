"""A hundred clients of the real server on one account: together they get exactly what there is."""

from __future__ import annotations

import json
import threading
import uuid
from collections import Counter
from collections.abc import Callable
from http.client import HTTPConnection
from typing import Any

import pytest

from ledger.models import Entry, EntryReason
from ledger.selectors import balance_of
from ledger.services.reconciliation.checks import Scope
from tests.factories import ApiKeyFactory, ServiceKeyFactory, customer_with
from tests.server import Server
from tests.usage.metering import price
from usage.models import RequestLog
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db(transaction=True)
CLIENTS, CALLS, CREDITS = 100, 12, 600


class Client:
    """One client, on its own connection."""

    def __init__(self, server: Server, service_key: str) -> None:
        self.connection = HTTPConnection("127.0.0.1", server.port, timeout=60)
        self.service_key = service_key

    def post(self, path: str, key: str | None = None, **body: Any) -> tuple[int, dict[str, Any], str | None]:
        headers = {"X-API-KEY": self.service_key, "Content-Type": "application/json"}
        headers["Idempotency-Key"] = key or uuid.uuid4().hex
        self.connection.request("POST", path, json.dumps(body), headers)
        answer = self.connection.getresponse()
        return answer.status, json.loads(answer.read()), answer.headers.get("Idempotent-Replayed")


def all_at_once(work: Callable[[int, Client], list[Any]]) -> list[Any]:
    """Start the work of every client at the same time; return all responses."""
    service_key, barrier = ServiceKeyFactory().raw, threading.Barrier(CLIENTS)
    answers: list[Any] = []
    with Server(2, LOG_LEVEL="ERROR") as server:

        def run(number: int) -> None:
            client = Client(server, service_key)
            barrier.wait(timeout=60)
            answers.extend(work(number, client))

        threads = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(timeout=120)
    return answers


@pytest.fixture
def alice() -> Any:
    price("search", 1)
    return customer_with(CREDITS)


@pytest.mark.parametrize("named_by", ["user_id", "api_key"])
def test_exactly_600_of_1200_charges_succeed_when_600_are_covered(alice, named_by):
    name = {"user_id": alice.pk} if named_by == "user_id" else {"api_key": ApiKeyFactory(user=alice).raw}

    answers = all_at_once(
        lambda _, client: [client.post("/v2/charges", endpoint="search", **name)[0] for _ in range(CALLS)]
    )

    assert Counter(answers) == {201: CREDITS, 402: CLIENTS * CALLS - CREDITS}
    assert balance_of(user_id=alice.pk).balance == 0
    assert RequestLog.objects.filter(status=402).count() == CLIENTS * CALLS - CREDITS
    assert reconcile(Scope())[1] == []


def test_holds_and_captures_together_take_no_more_than_there_is(alice):
    def work(number: int, client: Client) -> list[tuple[str, int]]:
        done = []
        for n in range(CALLS):
            if (number + n) % 2:
                done.append(("charge", client.post("/v2/charges", user_id=alice.pk, endpoint="search")[0]))
                continue
            status, hold, _ = client.post("/v2/holds", user_id=alice.pk, credits=2)
            done.append(("hold", status))
            if status == 201:
                last = "release" if n % 3 == 0 else "capture"
                body = {} if last == "release" else {"credits": 1, "endpoint": "search"}
                done.append((last, client.post(f"/v2/holds/{hold['id']}/{last}", **body)[0]))
        return done

    counts = Counter(all_at_once(work))

    assert {status for _, status in counts} == {200, 201, 402}
    assert counts["capture", 200] + counts["release", 200] == counts["hold", 201]
    had = balance_of(user_id=alice.pk)
    assert had.balance == CREDITS - counts["charge", 201] - counts["capture", 200]
    assert (had.reserved, had.balance >= 0) == (0, True)
    assert reconcile(Scope())[1] == []


def test_a_key_sent_by_all_has_one_effect_and_one_response(alice):
    for round_number in range(5):
        key = f"round {round_number}"

        answers = all_at_once(lambda _, client: [client.post("/v2/charges", key, user_id=alice.pk, endpoint="search")])  # noqa: B023

        told = Counter((status, replayed) for status, _, replayed in answers)
        assert told == {(201, None): 1, (201, "true"): CLIENTS - 1}
        assert len({body["id"] for _, body, _ in answers}) == 1
    assert Entry.objects.filter(user=alice, reason=EntryReason.USAGE).count() == 5
    assert reconcile(Scope())[1] == []
