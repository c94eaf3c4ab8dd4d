"""Disputes compared with the provider's books: none is missed, and none is invented."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from ledger.providers import fake as cards
from ledger.providers.base import DisputeStatement, NoAnswer, Refused
from ledger.providers.stripe import StripeProvider
from ledger.services.payments.provider_checks import compare_with_provider
from ledger.services.payments.reversals import note_dispute
from ledger.services.reconciliation.checks import Scope
from tests.ledger.paying import bought
from tests.ledger.running import run
from tests.ledger.stripes import KEY, Recorded

pytestmark = pytest.mark.django_db


def said(payment, status="open", *, name="dp_1", minor=None):
    return DisputeStatement(name, payment.provider_payment_id, minor or payment.amount_minor, "USD", status)


def noted(payment, status="open", *, name="dp_1"):
    note_dispute(
        payment_id=payment.pk, provider_dispute_id=name, amount_minor=payment.amount_minor, status=status,
        now=timezone.now(),
    )  # fmt: skip


@pytest.fixture
def told(monkeypatch):
    def tell(*statements):
        monkeypatch.setattr(cards.FakeProvider, "disputes", lambda *_, **__: iter(statements))

    return tell


def findings(scope=None):
    found = compare_with_provider("fake", scope or Scope(), now=timezone.now()).findings
    return [(one.check, one.user_id, one.facts["payment_id"], one.facts["provider_dispute_id"]) for one in found]


@pytest.mark.parametrize("status", ["open", "lost"])
def test_a_dispute_that_was_never_noted_is_found(bob, told, status):
    payment = bought(bob, cards.APPROVE)
    told(said(payment, status))

    assert findings() == [("dispute_is_noted", bob.pk, payment.pk, "dp_1")]


def test_a_dispute_of_an_old_payment_is_found(bob, told):
    payment = bought(bob, cards.APPROVE, now=timezone.now() - dt.timedelta(days=100))
    told(said(payment))

    assert findings() == [("dispute_is_noted", bob.pk, payment.pk, "dp_1")]


@pytest.mark.parametrize("theirs", [{"status": "lost"}, {"status": "won"}, {"minor": 1}])
def test_a_dispute_that_differs_at_the_provider_is_found(bob, told, theirs):
    payment = bought(bob, cards.APPROVE)
    noted(payment)
    told(said(payment, **theirs))

    assert findings() == [("dispute_is_as_at_the_provider", bob.pk, payment.pk, "dp_1")]


def test_a_dispute_that_the_provider_does_not_know_is_found(bob, told):
    payment = bought(bob, cards.APPROVE)
    noted(payment)
    told()

    assert findings() == [("dispute_is_at_the_provider", bob.pk, payment.pk, "dp_1")]


def test_disputes_that_agree_were_won_unnoted_or_are_not_ours_are_no_findings(bob, told):
    payment, other = bought(bob, cards.APPROVE), bought(bob, cards.APPROVE)
    noted(payment, "lost")
    told(
        said(payment, "lost"), said(other, "won", name="dp_2"),
        DisputeStatement("dp_3", "pi_of_somebody", 1, "USD", "open"),
    )  # fmt: skip

    assert findings() == []


def test_only_disputes_of_the_scope_are_found(bob, alice, told):
    his, hers = bought(bob, cards.APPROVE), bought(alice, cards.APPROVE)
    told(said(his), said(hers, name="dp_2"))

    assert findings(Scope(user_id=alice.pk)) == [("dispute_is_noted", alice.pk, hers.pk, "dp_2")]


def test_a_provider_that_keeps_no_list_is_not_asked_for_one(bob):
    noted(bought(bob, cards.APPROVE))

    assert findings() == []


def test_reconcile_says_how_to_correct_a_finding(bob, told):
    payment = bought(bob, cards.APPROVE)
    told(said(payment))

    ran = run("reconcile", "--json")

    assert ran.code == 3
    (found,) = ran.json["findings"]
    assert found["detail"] == (
        f"fake has a dispute of payment {payment.pk} about 12.50 USD (open), dp_1, that is not noted here: "
        "let it send its message again."
    )


def test_stripes_list_is_read_since_then_without_inquiries():
    dispute = {"id": "dp_1", "object": "dispute", "payment_intent": "pi_1", "amount": 1250, "currency": "usd"}
    page = {"object": "list", "has_more": False, "url": "/v1/disputes", "data": [
        dispute | {"status": "needs_response"}, dispute | {"id": "dp_2", "status": "warning_under_review"},
        dispute | {"id": "dp_3", "status": "lost", "payment_intent": None},
    ]}  # fmt: skip
    with Recorded((200, page)) as stripe:
        provider = StripeProvider(KEY, api_url=stripe.url)
        read = list(provider.disputes(since=dt.datetime.fromtimestamp(1_000, dt.UTC)))

    assert read == [
        DisputeStatement("dp_1", "pi_1", 1250, "USD", "open"), DisputeStatement("dp_3", "", 1250, "USD", "lost"),
    ]  # fmt: skip
    assert "created" in stripe.calls[0]["path"]
    assert "1000" in stripe.calls[0]["path"]


def test_a_key_that_may_not_read_disputes_is_found_and_spoils_no_other_check(bob, monkeypatch):
    def refuse(*_, **__):
        raise Refused("provider_refused", "The key may not.")

    bought(bob, cards.APPROVE)
    monkeypatch.setattr(cards.FakeProvider, "disputes", refuse)

    compared = compare_with_provider("fake", Scope(), now=timezone.now())

    assert compared.payments == 1
    assert [one.check for one in compared.findings] == ["disputes_can_be_read"]


@pytest.mark.parametrize(("status", "error"), [(404, None), (403, Refused), (500, NoAnswer)])
def test_stripes_refusals_are_told_apart_when_disputes_cannot_be_read(status, error):
    body = {"error": {"type": "invalid_request_error", "message": "No."}}
    with Recorded(*[(status, body)] * 3) as stripe:
        provider = StripeProvider(KEY, api_url=stripe.url)
        if error is None:
            assert provider.disputes(since=timezone.now()) is None
            return
        with pytest.raises(error):
            provider.disputes(since=timezone.now())
