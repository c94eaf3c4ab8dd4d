"""Payments compared with the provider's books: what was credited was paid, and what was paid was credited."""

from __future__ import annotations

import datetime as dt
import uuid

import pytest
from django.utils import timezone

from ledger.models import Payment
from ledger.providers import fake as cards
from ledger.providers.base import NoAnswer, Order, Statement
from ledger.providers.stripe import StripeProvider
from ledger.services.payments.provider_checks import compare_with_provider, providers_used
from ledger.services.payments.reversals import note_single_refund
from ledger.services.reconciliation.checks import Scope
from tests.ledger.paying import LATER, bought, fake, settled
from tests.ledger.running import run
from tests.ledger.stripes import KEY, Recorded
from tests.ledger.tampering import tamper
from tests.ledger.test_stripe_provider import INTENT

pytestmark = pytest.mark.django_db


def findings(scope: Scope | None = None, *, after: dt.timedelta = LATER):
    found = compare_with_provider("fake", scope or Scope(), now=timezone.now() + after).findings
    return [(finding.check, finding.user_id, finding.facts.get("payment_id")) for finding in found]


def statement_of(payment: Payment, **said: object) -> Statement:
    usual = {
        "key": payment.provider_key,
        "state": payment.state,
        "amount_minor": payment.amount_minor,
        "currency": payment.currency,
        "refunded_minor": payment.refunded_minor,
        "provider_payment_id": payment.provider_payment_id,
    }
    return Statement(**usual | said)


@pytest.fixture
def told(monkeypatch):
    """Return a function that sets what the fake provider's books say."""

    def tell(*statements):
        monkeypatch.setattr(cards.FakeProvider, "statements", lambda *_, **__: iter(statements))

    return tell


def test_payments_of_every_state_agree_with_the_provider(bob):
    for card in (cards.APPROVE, cards.DECLINE, cards.AUTHENTICATE, cards.TIME_OUT):
        bought(bob, card)

    assert providers_used(Scope(), now=timezone.now()) == ["fake"]
    assert findings() == []


def test_money_that_was_never_credited_is_found_until_it_is_settled(bob):
    payment = bought(bob, cards.ANSWER_LOST)
    on_its_way = findings(after=dt.timedelta())

    found = findings()
    settled(payment)

    assert on_its_way == []
    assert found == [("provider_payment_is_credited", bob.pk, payment.pk)]
    assert findings() == []


@pytest.mark.parametrize(
    "said", [{"state": "failed"}, {"amount_minor": 1}, {"currency": "EUR"}], ids=lambda said: next(iter(said))
)
def test_credits_without_the_providers_money_are_found(bob, told, said):
    payment = bought(bob, cards.APPROVE)
    told(statement_of(payment, **said))

    assert findings() == [("payment_is_at_the_provider", bob.pk, payment.pk)]


def test_a_credited_payment_unknown_to_the_provider_is_found(bob, told):
    payment = bought(bob, cards.APPROVE)
    told()

    assert findings() == [("payment_is_at_the_provider", bob.pk, payment.pk)]


def test_a_refund_at_the_provider_that_was_never_noted_is_found(bob, told):
    payment = bought(bob, cards.APPROVE)
    told(statement_of(payment, refunded_minor=500))

    assert findings() == [("refunds_are_the_providers", bob.pk, payment.pk)]


@pytest.mark.parametrize(("said", "is_found"), [(0, False), (500, False), (200, True)])
def test_a_refund_that_failed_may_or_may_not_be_counted_in_the_providers_sum(bob, told, said, is_found):
    payment = bought(bob, cards.APPROVE)
    named = {"payment_id": payment.pk, "provider_refund_id": "re_1", "amount_minor": 500}
    note_single_refund(**named, has_failed=True, now=timezone.now())
    told(statement_of(payment, refunded_minor=said))

    assert bool(findings()) is is_found


def test_a_payment_of_ours_that_a_restored_database_has_lost_is_found(bob, told):
    payment = bought(bob, cards.APPROVE)
    lost = statement_of(payment, key=uuid.uuid4())
    told(statement_of(payment), lost)

    assert findings() == [("provider_payment_is_known", None, None)]
    assert findings(Scope(bob.pk)) == []


def test_a_payment_credited_during_the_comparison_is_no_finding(bob, monkeypatch):
    payment = bought(bob, cards.ANSWER_LOST)

    def credited_meanwhile(provider, orders, *, since):
        settled(payment)
        return iter([statement_of(payment, state="succeeded")])

    monkeypatch.setattr(cards.FakeProvider, "statements", credited_meanwhile)

    assert findings() == []


def test_only_payments_of_the_scope_are_compared(bob, alice, told):
    old = bought(bob, cards.APPROVE, now=timezone.now() - dt.timedelta(days=40))
    theirs, his = bought(alice, cards.APPROVE), bought(bob, cards.APPROVE)
    told()

    everybody = {payment for *_, payment in findings()}

    assert everybody == {theirs.pk, his.pk}
    assert {payment for *_, payment in findings(Scope(bob.pk))} == {his.pk}
    assert old.pk in {payment for *_, payment in findings(Scope(since=old.created_at))}


def test_reconcile_says_what_it_compared_and_finds_what_differs(bob, told):
    payment = bought(bob, cards.APPROVE)
    content = run("reconcile", "--json")
    told()

    ran = run("reconcile", "--json")
    unasked = run("reconcile", "--json", "--no-provider")

    assert (content.code, content.json["checked"]["payments_at_provider"]) == (0, 1)
    assert ran.code == 3
    assert [(one["check"], one["payment_id"]) for one in ran.json["findings"]] == [
        ("payment_is_at_the_provider", payment.pk)
    ]
    assert unasked.code == 0


@pytest.mark.django_db(transaction=True)
def test_a_provider_that_does_not_answer_is_reported_and_spoils_no_other_check(bob, monkeypatch):
    bought(bob, cards.APPROVE)

    def away(*_, **__):
        raise NoAnswer("no route to host")
        yield

    monkeypatch.setattr(cards.FakeProvider, "statements", away)
    tamper(f"UPDATE ledger_balance SET balance = balance + 1 WHERE user_id = {bob.pk}")

    ran = run("reconcile", "--json")

    assert "Payments were not compared with fake: no route to host" in ran.err
    assert [one["check"] for one in ran.json["findings"]] == ["balance_is_last_entry"]
    assert "payments_at_provider" not in ran.json["checked"]


def test_stripes_list_is_read_back_to_the_day_and_only_what_is_ours():
    ours = {**INTENT, "created": 2_000, "latest_charge": {"id": "ch_1", "amount_refunded": 250}}
    not_ours = {**INTENT, "created": 1_900, "metadata": {}}
    too_old = {**INTENT, "created": 999}
    page = {"object": "list", "has_more": True, "url": "/v1/payment_intents", "data": [ours, not_ours, too_old]}
    with Recorded((200, page)) as stripe:
        provider = StripeProvider(KEY, api_url=stripe.url)
        said = list(provider.statements([], since=dt.datetime.fromtimestamp(1_000, dt.UTC)))

    assert said == [Statement(uuid.UUID(int=7), "succeeded", 1250, "USD", 250, "pi_1")]
    assert "expand" in stripe.calls[0]["path"]


def test_the_fake_provider_lists_the_orders_that_it_received():
    order = Order(uuid.uuid4(), 1250, "USD", "Small", "fake_customer_1", cards.APPROVE)
    unsent = Order(uuid.uuid4(), 1250, "USD", "Small", "fake_customer_1", cards.TIME_OUT)
    fake().charge(order)

    said = list(fake().statements([order, unsent], since=timezone.now()))

    assert [(one.key, one.state, one.amount_minor) for one in said] == [(order.key, "succeeded", 1250)]
