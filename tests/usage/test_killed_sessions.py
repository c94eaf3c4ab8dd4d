"""Database sessions are killed under clients that charge, hold, capture and refund: no 500, nothing lost or doubled."""

import json
from decimal import Decimal

import pytest
from rest_framework.test import APIClient

from ledger.services.reconciliation.checks import Scope
from tests.factories import ServiceKeyFactory, customer_with
from tests.usage.killings import Storm, run_storm
from tests.usage.metering import price
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db(transaction=True)
CLIENTS, CALLS_EACH = 4, 75


def test_calls_are_neither_lost_nor_doubled_nor_answered_500_when_sessions_are_killed():
    price("search", 1)
    storm = Storm(customer_with(10_000))
    service_key = ServiceKeyFactory().raw

    def sender():
        client = APIClient(raise_request_exception=False, headers={"X-API-KEY": service_key})

        def send(path, body, key):
            answer = client.post(
                path, json.dumps(body), content_type="application/json", headers={"Idempotency-Key": key}
            )
            return answer.status_code, answer.json(), answer.headers.get("Retry-After")

        return send

    killer = run_storm(storm, [sender] * CLIENTS, calls_each=CALLS_EACH, every_calls=4)

    storm.check(Decimal(10_000))
    assert killer.killed >= 20
    assert sum(storm.done.values()) >= CLIENTS * CALLS_EACH
    assert reconcile(Scope())[1] == []
