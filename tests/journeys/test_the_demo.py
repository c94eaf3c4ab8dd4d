"""What the demo company prints can be done as printed."""

from __future__ import annotations

import json
import re

import pytest

from accounts.models import User
from ledger.selectors import balance_of
from tests.ledger.running import run
from tests.usage.gateway import Gateway

pytestmark = pytest.mark.django_db


def test_the_charge_that_the_demo_prints_is_made_once():
    demo = run("seed_demo").out
    printed = re.search(
        r"(/v2/charges) -H 'X-API-KEY: (\S+)' \\\n +-H 'Idempotency-Key: (\S+)' .*\\\n +-d '(.*)'", demo
    )
    path, service_key, idempotency_key, body = printed.groups()
    alice = User.objects.get(email="alice@demo.example")
    before = balance_of(user_id=alice.pk).balance

    first, again = (Gateway(api_key=service_key).post(path, json.loads(body), key=idempotency_key) for _ in range(2))

    assert (first.status_code, first.json()["user_id"], first.json()["credits"]) == (201, alice.pk, 3)
    assert (again.json(), again.headers["Idempotent-Replayed"]) == (first.json(), "true")
    assert balance_of(user_id=alice.pk).balance == before - 3
