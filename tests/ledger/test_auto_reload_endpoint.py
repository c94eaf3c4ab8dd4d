"""`GET/PATCH /auth/account/auto-reload` and its history: opt-in by consent, off at once, everything on record."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.utils import timezone

from ledger.models import AutoReloadEvent
from ledger.providers import fake as cards
from ledger.services.auto_reload.buying import reload_one
from ledger.services.payments.cards import remove_card
from tests.account import client_of
from tests.factories import UserFactory, customer_with
from tests.ledger.paying import card
from tests.ledger.reloading import run_all, spend, threshold_of, told

pytestmark = pytest.mark.django_db
URL, HISTORY = "/auth/account/auto-reload", "/auth/account/auto-reload/history"


@pytest.fixture
def owner(db):
    return customer_with(1000, email="owner@example.com")


@pytest.fixture
def client(owner):
    return client_of(owner)


def terms(user, method_id=cards.APPROVE, **changes):
    asked = {"enabled": True, "threshold": 100, "amount": 1000, "monthly_cap": "50.00", "consent": True}
    return asked | {"payment_method_id": card(user, method_id).pk} | changes


def turned_on(client, user, method_id=cards.APPROVE, **changes):
    answer = client.patch(URL, terms(user, method_id, **changes))
    assert answer.status_code == 200, answer.json()
    return answer.json()


def test_it_is_off_without_consent(client):
    shown = client.get(URL).json()

    assert shown == {
        "enabled": False,
        "status": "Auto-reload is off.",
        "threshold": None,
        "amount": None,
        "target": None,
        "monthly_cap": None,
        "spent_this_month": 0,
        "currency": "USD",
        "price_per_1000_credits": 10,
        "payment_method": None,
        "consented_at": None,
        "consent_sentence": None,
        "disabled_reason": None,
        "disabled_at": None,
        "declines_in_a_row": 0,
        "next_attempt_at": None,
        "payment": None,
    }
    assert client.get(HISTORY).json()["results"] == []


def test_without_consent_nothing_is_changed_and_the_sentence_is_shown(client, owner):
    for refusing in ({}, {"consent": False}):
        asked = {name: value for name, value in terms(owner).items() if name != "consent"} | refusing
        answer = client.patch(URL, asked)

        assert (answer.status_code, answer.json()["code"]) == (409, "consent_required")
        assert answer.json()["sentence"] == (
            "When your available credits fall below 100, we charge your Visa ending in 4242 10.00 USD for 1,000 "
            "credits, or as many times that as it takes to get back to 100, in one payment; and at most 50.00 USD in "
            "a calendar month (UTC)."
        )
    assert client.get(URL).json()["threshold"] is None
    assert AutoReloadEvent.objects.count() == 0
    assert threshold_of(owner) is None


def test_consent_turns_it_on_and_is_on_record_with_its_words(client, owner):
    before = timezone.now()
    sentence = client.patch(URL, terms(owner, consent=False)).json()["sentence"]

    shown = turned_on(client, owner)

    assert (shown["enabled"], shown["status"]) == (True, "Auto-reload is on.")
    assert (shown["threshold"], shown["amount"], shown["target"], shown["monthly_cap"]) == (100, 1000, None, 50)
    assert shown["payment_method"]["last4"] == "4242"
    assert shown["consent_sentence"] == sentence
    assert shown["consented_at"] >= before.isoformat()[:19]
    (event,) = client.get(HISTORY).json()["results"]
    assert (event["kind"], event["by"], event["sentence"]) == ("enabled", "customer", sentence)
    assert (event["threshold"], event["amount"], event["monthly_cap"], event["currency"]) == (100, 1000, 50, "USD")


def test_a_target_replaces_an_amount_and_both_are_refused(client, owner):
    turned_on(client, owner)

    shown = client.patch(URL, {"target": 600, "consent": True}).json()
    both = client.patch(URL, {"target": 600, "amount": 5, "consent": True})

    assert (shown["amount"], shown["target"]) == (None, 600)
    assert "bring you to 600, at 10.00 USD a 1,000" in shown["consent_sentence"]
    assert (both.status_code, list(both.json()["errors"])) == (400, ["target"])


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"amount": 49}, "amount"),  # 0.49 USD
        ({"amount": None}, "amount"),
        ({"amount": 999_999_999}, "amount"),
        ({"amount": 10_000_000, "monthly_cap": 999_999_999}, None),
        ({"amount": 500_000_000, "monthly_cap": 999_999_999}, "amount"),
        ({"monthly_cap": "9.99"}, "monthly_cap"),
        ({"monthly_cap": "50.001"}, "monthly_cap"),
        ({"monthly_cap": 0}, "monthly_cap"),
        ({"amount": None, "target": 100}, "target"),
        ({"amount": None, "target": 149}, "target"),
        ({"amount": None, "target": 150}, None),
        ({"threshold": 0}, "threshold"),
        ({"threshold": -1}, "threshold"),
        ({"threshold": True}, "threshold"),
        ({"threshold": "1e3"}, "threshold"),
        ({"threshold": "0.0000001"}, "threshold"),
        ({"enabled": "yes"}, "enabled"),
        ({"consent": 1}, "consent"),
        ({"payment_method_id": "1"}, "payment_method_id"),
    ],
)
def test_invalid_terms_are_refused_by_name(client, owner, changes, field):
    answer = client.patch(URL, terms(owner, **changes))

    assert answer.status_code == (200 if field is None else 400), answer.json()
    if field is not None:
        assert list(answer.json()["errors"]) == [field]
        assert client.get(URL).json()["enabled"] is False


def test_all_missing_fields_are_named(client):
    answer = client.patch(URL, {"enabled": True, "consent": True})

    assert list(answer.json()["errors"]) == ["threshold", "amount", "monthly_cap", "payment_method_id"]


def test_terms_may_be_kept_while_it_is_off_and_ask_for_no_consent(client):
    shown = client.patch(URL, {"threshold": 5, "amount": 100, "monthly_cap": 20}).json()

    assert (shown["enabled"], shown["threshold"], shown["disabled_reason"]) == (False, 5, None)
    assert client.get(HISTORY).json()["count"] == 0


def test_another_customers_card_and_a_removed_one_are_not_found(client, owner):
    other, removed = card(UserFactory(), cards.APPROVE), card(owner, cards.DECLINE)
    remove_card(user_id=owner.pk, payment_method_id=removed.pk, now=timezone.now())

    for method in (other, removed):
        answer = client.patch(URL, terms(owner, payment_method_id=method.pk))
        assert (answer.status_code, answer.json()["code"]) == (404, "payment_method_not_found")


def test_a_site_without_a_price_offers_none(client, owner, settings):
    settings.AUTO_RELOAD_PRICE = None

    answer = client.patch(URL, terms(owner))

    assert (answer.status_code, answer.json()["code"]) == (409, "auto_reload_not_offered")
    assert client.get(URL).json()["currency"] is None


def test_a_site_without_a_provider_offers_none(client, owner, settings):
    method = card(owner, cards.APPROVE).pk
    settings.PAYMENT_PROVIDER = "none"

    answer = client.patch(URL, terms(owner, payment_method_id=method))

    assert (answer.status_code, answer.json()["code"]) == (404, "payments_off")


def test_off_is_off_at_once_and_repeating_either_changes_nothing(client, owner):
    turned_on(client, owner)
    turned_on(client, owner)

    for _ in range(2):
        shown = client.patch(URL, {"enabled": False}).json()
        assert (shown["enabled"], shown["disabled_reason"], shown["threshold"]) == (False, "customer", 100)
    spend(owner, 1000)

    assert run_all(timezone.now()) == []
    assert [event["kind"] for event in client.get(HISTORY).json()["results"]] == ["disabled", "enabled"]
    assert told(owner) == ["disabled"]
    assert owner.notices.get().subject is None  # the customer did it and knows


def test_a_consent_to_an_outdated_sentence_is_refused(client, owner, settings):
    seen = client.patch(URL, terms(owner, consent=False)).json()["sentence"]
    settings.AUTO_RELOAD_PRICE = (Decimal("20.00"), "USD")

    stale = client.patch(URL, terms(owner, sentence=seen))

    assert (stale.status_code, stale.json()["code"]) == (409, "consent_required")
    assert "20.00 USD" in stale.json()["sentence"] != seen
    assert client.get(URL).json()["enabled"] is False
    agreed = client.patch(URL, terms(owner, sentence=stale.json()["sentence"])).json()
    assert (agreed["enabled"], agreed["consent_sentence"]) == (True, stale.json()["sentence"])


def test_turning_it_on_again_requires_consent_again(client, owner):
    turned_on(client, owner)
    client.patch(URL, {"enabled": False})

    assert client.patch(URL, {"enabled": True}).json()["code"] == "consent_required"
    assert client.patch(URL, {"enabled": True, "consent": True}).json()["disabled_reason"] is None


def test_a_higher_cap_requires_consent_and_an_unchanged_value_does_not(client, owner):
    turned_on(client, owner)

    assert client.patch(URL, {"monthly_cap": 60}).json()["code"] == "consent_required"
    assert client.patch(URL, {"monthly_cap": 50, "enabled": True}).status_code == 200
    assert client.patch(URL, {}).status_code == 200
    assert client.get(URL).json()["monthly_cap"] == 50


def test_the_history_has_each_payment_as_it_is_now(client, owner):
    turned_on(client, owner)
    spend(owner, 950)
    reload_one(user_id=owner.pk, now=timezone.now())

    attempt, enabled = client.get(HISTORY).json()["results"]

    assert (attempt["kind"], attempt["by"], enabled["kind"]) == ("attempt", "system", "enabled")
    payment = attempt["payment"]
    assert (payment["state"], payment["credits"], payment["price"]) == ("succeeded", 1000, 10)
    assert payment["entry_id"] is not None
    assert client.get(URL).json()["spent_this_month"] == 10
    bought = client.get("/auth/account/top-ups").json()["results"]
    assert [(one["id"], one["kind"]) for one in bought] == [(payment["id"], "auto_reload")]


def test_a_payment_to_be_confirmed_is_shown_with_its_link(client, owner):
    turned_on(client, owner, cards.AUTHENTICATE)
    spend(owner, 950)
    reload_one(user_id=owner.pk, now=timezone.now())

    shown = client.get(URL).json()

    assert (shown["payment"]["state"], shown["payment"]["next_step"]) == ("requires_action", "act")
    assert shown["payment"]["action_url"]
    assert shown["status"].startswith("Your bank wants you to confirm a payment")


def test_a_declined_card_is_shown_with_the_time_of_the_next_attempt(client, owner):
    turned_on(client, owner, cards.DECLINE)
    spend(owner, 950)
    reload_one(user_id=owner.pk, now=timezone.now())

    shown = client.get(URL).json()

    assert shown["status"].startswith("The last payment was declined; the card is tried again at ")
    assert (shown["declines_in_a_row"], shown["enabled"]) == (1, True)


def test_the_history_is_a_list_like_every_other(client, owner):
    turned_on(client, owner)
    client.patch(URL, {"enabled": False})

    page = client.get(HISTORY, {"limit": 1}).json()
    rows = client.get(HISTORY, {"format": "csv"}).getvalue().decode().splitlines()

    assert (page["count"], len(page["results"])) == (2, 1)
    assert len(rows) == 3
    assert rows[0].startswith("id,created_at,kind,by,reason")
    assert client.get(HISTORY, {"limit": 0}).status_code == 400
    assert client.get(HISTORY, {"format": "xml"}).status_code == 400


def test_a_stranger_sees_only_their_own_auto_reload(client, owner):
    turned_on(client, owner)
    stranger = client_of(UserFactory())

    assert stranger.get(URL).json()["enabled"] is False
    assert stranger.get(HISTORY).json()["results"] == []


def test_the_balance_and_the_summary_show_its_state(client, owner):
    def shown():
        credits = client.get("/auth/account/credits").json()
        assert client.get("/auth/account/summary").json()["credit_balance"] == credits
        return [credits[f"auto_reload_{name}"] for name in ("enabled", "threshold", "amount")]

    assert shown() == [False, None, None]
    turned_on(client, owner)
    assert shown() == [True, 100, 1000]
    client.patch(URL, {"target": 600, "consent": True})
    assert shown() == [True, 100, None]
    client.patch(URL, {"enabled": False})
    assert shown() == [False, None, None]


@pytest.mark.parametrize("body", [[], "x", 3, None, {"monthly_cap": {}}, {"threshold": []}, {"target": "9" * 400}])
def test_no_body_causes_a_500(client, body):
    answer = client.patch(URL, body, format="json")

    assert answer.status_code in (200, 400), answer.content
