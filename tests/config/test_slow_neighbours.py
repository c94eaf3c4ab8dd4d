"""Stripe and the mail server do not respond, on the real server: other customers' charges continue as before."""

from __future__ import annotations

import contextlib
import statistics
import time
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
from django.utils import timezone

from accounts.services.signing_in.sessions import sign_in
from ledger.providers import fake as cards
from tests.factories import PASSWORD, customer_with
from tests.ledger.paying import card, package
from tests.ledger.silent import Silent
from tests.ledger.stripes import KEY
from tests.server import Server
from tests.usage.gateway import Gateway
from tests.usage.metering import price

pytestmark = pytest.mark.django_db(transaction=True)
MOST_MS = 100  # of a concurrent charge: far above a usual one, far below one that waits for a thread


@pytest.fixture
def charge():
    """Return a function that charges another customer and returns how long that took."""
    price("translate", 1)
    customer, gateway = customer_with(1000), Gateway()

    def charge(server):
        began = time.monotonic()
        body = {"user_id": customer.pk, "endpoint": "translate"}
        status, _, _ = server.call(
            "POST", "/v2/charges", body, **{"X-API-KEY": gateway.api_key, "Idempotency-Key": uuid.uuid4().hex}
        )
        assert status == 201
        return (time.monotonic() - began) * 1000

    return charge


def token_of(user):
    pair = sign_in(email=user.email, password=PASSWORD, address=None, now=timezone.now())
    return {"Authorization": f"Bearer {pair.access}"}


def test_a_charge_is_not_slowed_by_customers_who_wait_for_a_silent_stripe(charge):
    users = [customer_with(1) for _ in range(12)]
    tokens = [token_of(user) for user in users]
    with Silent() as stripe, contextlib.ExitStack() as stack:
        server = stack.enter_context(
            Server(
                LOG_LEVEL="ERROR",  # its log is not read
                PAYMENT_PROVIDER="stripe",
                STRIPE_SECRET_KEY=KEY,
                STRIPE_API_URL=stripe.url,
                STRIPE_WEBHOOK_SECRETS="a",
            )
        )
        for _ in range(5):
            charge(server)
        alone = [charge(server) for _ in range(20)]
        pool = stack.enter_context(ThreadPoolExecutor(12))
        asked = [pool.submit(server.call, "POST", "/auth/account/payment-methods", **token) for token in tokens]
        stripe.wait_for(1)
        beside = [charge(server) for _ in range(20)]
        done = [one for one in asked if one.done()]
        answers = [one.result() for one in done]
        server.kill()  # a call that still waits would do so for five seconds

    assert len(answers) == 11
    assert {(status, b"payment_provider_busy" in body) for status, body, _ in answers} == {(503, True)}
    assert all(int(headers["Retry-After"]) > 0 for _, _, headers in answers)
    assert stripe.connections == 1
    assert statistics.median(beside) <= max(2 * statistics.median(alone), MOST_MS)


def test_a_purchase_is_not_slowed_by_a_silent_mail_server_nor_is_a_charge_beside_it(charge):
    bob = customer_with(1)
    saved, token, sold = card(bob, cards.APPROVE).pk, token_of(bob), package().code
    with Silent() as mail, Server(EMAIL_URL=f"smtp://127.0.0.1:{mail.port}", PAYMENT_PROVIDER="fake") as server:
        took = []
        for _ in range(5):
            began = time.monotonic()
            key = {"Idempotency-Key": uuid.uuid4().hex}
            status, body, _ = server.call(
                "POST", "/auth/account/top-ups", {"package": sold, "payment_method_id": saved}, **token, **key
            )
            took.append((time.monotonic() - began) * 1000)
            assert (status, b'"succeeded"' in body) == (201, True)
            assert charge(server) < 1000

        assert mail.connections == 0
    assert statistics.median(took) < 1000
