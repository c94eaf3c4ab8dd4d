"""Limits against card testing: declined and unpaid top-ups and new cards are few, over all processes."""

from __future__ import annotations

import datetime as dt

import pytest
from django.utils import timezone

from ledger import errors
from ledger.models import CardSaving, Payment, PaymentState
from ledger.providers import fake as cards
from ledger.providers.base import NoAnswer
from ledger.services.payments.cards import start_saving_card
from tests.account import client_of
from tests.accounts.races import at_once
from tests.factories import UserFactory
from tests.ledger.paying import bought, buy, card, fake, package, settled

pytestmark = pytest.mark.django_db
TOP_UPS, METHODS = "/auth/account/top-ups", "/auth/account/payment-methods"
HOUR, DAY, SECOND = dt.timedelta(hours=1), dt.timedelta(days=1), dt.timedelta(seconds=1)


@pytest.fixture(autouse=True)
def _few(settings):
    settings.TOP_UP_DECLINES_PER_HOUR, settings.UNPAID_TOP_UPS_PER_HOUR, settings.NEW_CARDS_PER_DAY = 3, 6, 2


def test_declines_beyond_the_limit_are_429_with_retry_after_and_reach_no_provider(bob, monkeypatch):
    client, sells, saved = client_of(bob), package().code, card(bob, cards.DECLINE).pk
    body = {"package": sells, "payment_method_id": saved}
    asked = [client.post(TOP_UPS, body, HTTP_IDEMPOTENCY_KEY=f"{number}") for number in range(3)]
    monkeypatch.setattr(fake(), "charge", lambda order: pytest.fail("the card was tried"))

    refused = client.post(TOP_UPS, body, HTTP_IDEMPOTENCY_KEY="more")

    assert [(one.status_code, one.json()["state"]) for one in asked] == [(201, "failed")] * 3
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 3590 <= int(refused.headers["Retry-After"]) <= 3600
    assert Payment.objects.count() == 3
    assert client.post(TOP_UPS, body, HTTP_IDEMPOTENCY_KEY="0").json()["id"] == asked[0].json()["id"]


def test_the_limit_of_declines_is_for_one_card_one_customer_and_one_hour(bob, alice):
    now = timezone.now()
    for _ in range(3):
        bought(bob, cards.DECLINE, now=now)

    with pytest.raises(errors.TooManyTopUps) as refusal:
        buy(bob, cards.APPROVE, now=now + HOUR / 2)
    assert refusal.value.retry_after_seconds == 1800
    with pytest.raises(errors.TooManyTopUps):
        buy(bob, now=now + HOUR - SECOND)
    assert bought(alice, cards.DECLINE, now=now).state == PaymentState.FAILED
    assert bought(bob, cards.APPROVE, now=now + HOUR).state == PaymentState.SUCCEEDED


def test_payments_never_sent_or_finally_succeeded_do_not_count(bob):
    settled(bought(bob, cards.TIME_OUT))
    for _ in range(2):
        settled(bought(bob, cards.ANSWER_LOST))
    for _ in range(2):
        bought(bob, cards.DECLINE)

    assert bought(bob, cards.APPROVE).state == PaymentState.SUCCEEDED


def test_a_payment_with_an_unknown_outcome_counts(bob):
    for _ in range(3):
        bought(bob, cards.ANSWER_LOST)

    with pytest.raises(errors.TooManyTopUps):
        buy(bob, cards.APPROVE)


@pytest.mark.parametrize("method_id", [None, cards.AUTHENTICATE])
def test_abandoned_pages_and_confirmations_are_limited(bob, method_id):
    for _ in range(6):
        bought(bob, method_id)

    with pytest.raises(errors.TooManyTopUps):
        buy(bob, method_id)


def test_new_cards_are_limited_per_day_whether_or_not_they_are_kept(bob, alice):
    client = client_of(bob)
    begun = [client.post(METHODS).status_code for _ in range(2)]
    saved = card(bob, cards.APPROVE)
    client.delete(f"{METHODS}/{saved.pk}")

    refused = client.post(METHODS)

    assert begun == [201, 201]
    assert (refused.status_code, refused.json()["code"]) == (429, "rate_limited")
    assert 86_000 < int(refused.headers["Retry-After"]) <= 86_400
    assert client_of(alice).post(METHODS).status_code == 201
    later = timezone.now() + DAY
    start_saving_card(user_id=bob.pk, email=bob.email, now=later)
    assert list(CardSaving.objects.filter(user=bob).values_list("created_at", flat=True)) == [later]


def test_a_card_that_the_provider_did_not_begin_to_save_does_not_count(bob, monkeypatch):
    def away(**_):
        raise NoAnswer("no route")

    with monkeypatch.context() as broken:
        broken.setattr(fake(), "start_saving_card", away)
        assert [client_of(bob).post(METHODS).status_code for _ in range(3)] == [503] * 3

    assert client_of(bob).post(METHODS).status_code == 201


@pytest.mark.django_db(transaction=True)
class TestRace:
    def test_twelve_declines_at_once_try_the_card_three_times(self):
        bob = UserFactory()
        package()
        card(bob, cards.DECLINE)

        outcomes = at_once(12, lambda: outcome_of(lambda: buy(bob, cards.DECLINE)))

        assert sorted(outcomes) == ["TooManyTopUps"] * 9 + ["tried"] * 3
        assert Payment.objects.filter(user=bob).count() == 3

    def test_eight_new_cards_at_once_are_two(self):
        bob = UserFactory()

        outcomes = at_once(
            8,
            lambda: outcome_of(lambda: start_saving_card(user_id=bob.pk, email=bob.email, now=timezone.now())),
        )

        assert sorted(outcomes) == ["TooManyNewCards"] * 6 + ["tried"] * 2


def outcome_of(call):
    try:
        call()
    except errors.LedgerRefusal as refusal:
        return type(refusal).__name__
    return "tried"
