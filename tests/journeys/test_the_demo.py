"""The calls that the demo company prints work as printed."""

from __future__ import annotations

import json
import re
from decimal import Decimal

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services.signing_in.sessions import sign_in
from ledger.selectors import balance_of
from tests.ledger.running import run
from tests.usage.gateway import Gateway
from usage.demo.company import PASSWORD

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


def test_the_translation_that_the_demo_prints_is_made_and_paid(client):
    demo = run("seed_demo").out
    printed = re.search(r"(/v2/demo/translate) -H 'X-API-KEY: (\S+)' \\\n +-H .* -d '(.*)'", demo)
    path, api_key, body = printed.groups()
    alice = User.objects.get(email="alice@demo.example")
    before = balance_of(user_id=alice.pk)

    answer = client.post(path, body, content_type="application/json", headers={"X-API-KEY": api_key})

    assert (answer.status_code, answer.json()["credits"]) == (200, 1)
    assert answer.json()["text"] == "plɹoʍ 'ollǝH"
    assert Decimal(str(answer.json()["remaining"])) == before.available - 1
    assert balance_of(user_id=alice.pk).balance == before.balance - 1


def test_the_top_up_that_the_demo_prints_is_paid_with_the_saved_card_and_credited_once():
    demo = run("seed_demo").out
    printed = re.search(r"(/auth/account/top-ups) .* -H 'Idempotency-Key: (\S+)' \\\n +-H .* -d \"(.*)\"", demo)
    path, idempotency_key, body = printed.groups()
    alice = User.objects.get(email="alice@demo.example")
    pair = sign_in(email=alice.email, password=PASSWORD, address=None, now=timezone.now())
    client = APIClient(headers={"Authorization": f"Bearer {pair.access}"})
    (card,) = client.get("/auth/account/payment-methods").json()["results"]
    asked = json.loads(body.replace('\\"', '"').replace("$CARD", str(card["id"])))
    before = balance_of(user_id=alice.pk).balance

    answers = [client.post(path, asked, HTTP_IDEMPOTENCY_KEY=idempotency_key) for _ in range(2)]

    assert [(answer.status_code, answer.json()["state"]) for answer in answers] == [(201, "succeeded")] * 2
    assert balance_of(user_id=alice.pk).balance == before + 1000
