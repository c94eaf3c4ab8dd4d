"""A customer agrees to auto-reload over HTTP, a gateway spends their credits, the command buys, notices are sent."""

from __future__ import annotations

import pytest
from django.core import mail
from django.core.management import call_command
from django.utils import timezone

from accounts.models import Notice
from accounts.services.notices import send_notice_emails
from config.rounds import Round
from ledger.models import OffReason, Payment
from ledger.providers import fake
from tests.account import client_of
from tests.factories import customer_with
from tests.ledger.paying import card
from tests.ledger.running import run
from tests.usage.gateway import Gateway

pytestmark = pytest.mark.django_db(transaction=True)
URL = "/auth/account/auto-reload"


def agree(account, user, method_id):
    body = {"enabled": True, "threshold": 50, "amount": 500, "monthly_cap": 25}
    body["payment_method_id"] = card(user, method_id).pk
    sentence = account.patch(URL, body).json()["sentence"]
    assert account.patch(URL, {**body, "consent": True}).json()["consent_sentence"] == sentence


def test_charges_run_low_and_credits_come_once_with_a_receipt():
    call_command("set_price", "render", "10")
    ann, gateway = customer_with(100), Gateway()
    account = client_of(ann)
    agree(account, ann, fake.APPROVE)

    before = run("run_auto_reload", "--json").json
    for number in range(6):
        gateway.post("/v2/charges", {"user_id": ann.pk, "endpoint": "render"}, key=f"request {number}")
    ran, again = (run("run_auto_reload", "--json").json for _ in range(2))
    assert mail.outbox == []
    run("send_alerts")

    assert (before["due"], ran["succeeded"], again["due"]) == (0, 1, 0)
    credits = account.get("/auth/account/credits").json()
    assert (credits["available"], credits["auto_reload_enabled"], credits["auto_reload_amount"]) == (540, True, 500)
    (entry,) = account.get("/auth/account/ledger?type=credit&limit=1").json()["results"]
    assert (entry["amount"], entry["description"]) == (500, "Credits purchased by auto-reload")
    assert account.get(f"{URL}/history").json()["results"][0]["payment"]["entry_id"] == entry["id"]
    assert [letter.subject for letter in mail.outbox] == ["Receipt: 500 credits"]
    assert Notice.objects.filter(user=ann, type="auto_reload.succeeded").count() == 1
    assert run("reconcile", "--json").json["findings"] == []


def test_a_dead_card_ends_auto_reload_with_a_notice_and_the_gateway_gets_402():
    call_command("set_price", "render", "10")
    bob, gateway = customer_with(50), Gateway()
    account = client_of(bob)
    agree(account, bob, fake.DECLINE)
    for _ in range(5):
        gateway.post("/v2/charges", {"user_id": bob.pk, "endpoint": "render"})

    for _ in range(5):
        run("run_auto_reload")
        bob.auto_reload.refresh_from_db()
        bob.auto_reload.next_attempt_at = None  # the time has come
        bob.auto_reload.save()
    send_notice_emails(Round(), now=timezone.now(), most=10)

    shown = account.get(URL).json()
    assert (shown["enabled"], shown["disabled_reason"]) == (False, OffReason.DECLINED)
    assert shown["status"] == "Auto-reload is off. It was turned off because three payments in a row were declined."
    assert Payment.objects.filter(user=bob).count() == 3
    assert [letter.subject for letter in mail.outbox] == [
        "Your automatic payment was declined",
        "Your automatic payment was declined",
        "Auto-reload was turned off",
    ]
    assert gateway.post("/v2/charges", {"user_id": bob.pk, "endpoint": "render"}).status_code == 402
    assert run("reconcile", "--json").json["findings"] == []
