"""`/auth/account/top-ups`: customers buy credits, and see the outcome."""

from __future__ import annotations

import csv
import io

import pytest

from accounts.models import User
from ledger.models import Payment
from ledger.providers import fake as cards
from ledger.providers.fake import FakeProvider
from tests.account import client_of
from tests.config.test_mail import CANNOT_BE_MAILED
from tests.ledger.paying import bought, card, fake, package, purchases, settled
from tests.ledger.running import run

pytestmark = pytest.mark.django_db
PATH = "/auth/account/top-ups"


@pytest.fixture
def client(bob):
    package()
    return client_of(bob)


def post(client, key="one", **body):
    return client.post(PATH, {"package": "small", **body}, HTTP_IDEMPOTENCY_KEY=key)


def test_a_saved_card_is_charged_at_once(client, bob):
    answer = post(client, payment_method_id=card(bob, cards.APPROVE).pk)

    made = answer.json()
    assert answer.status_code == 201
    assert {name: made[name] for name in ("package", "credits", "price", "currency", "state", "next_step")} == {
        "package": "small",
        "credits": 1000,
        "price": 12.5,
        "currency": "USD",
        "state": "succeeded",
        "next_step": "none",
    }
    entry = client.get(f"/auth/account/ledger/{made['entry_id']}").json()
    assert (entry["type"], entry["amount"], entry["reference"]) == ("credit", 1000, f"payment-{made['id']}")


@pytest.mark.parametrize(
    ("email", "told"),
    [("bob@example.com", "bob@example.com"), ("a@" + "é" * 60 + ".example", ""), ("203.0.113.7@gateway.invalid", "")],
)
def test_the_provider_gets_only_addresses_that_mail_can_be_sent_to(client, bob, monkeypatch, email, told):
    User.objects.filter(pk=bob.pk).update(email=email)
    heard = []
    create = FakeProvider.create_customer
    monkeypatch.setattr(
        FakeProvider, "create_customer", lambda self, **asked: heard.append(asked["email"]) or create(self, **asked)
    )

    answer = client_of(User.objects.get(pk=bob.pk)).post("/auth/account/payment-methods", HTTP_IDEMPOTENCY_KEY="one")

    assert answer.status_code == 201
    assert heard == [told]


@pytest.mark.parametrize("email", CANNOT_BE_MAILED)
def test_a_paid_top_up_is_credited_for_any_address_that_an_older_version_accepted(client, bob, email):
    User.objects.filter(pk=bob.pk).update(email=email.replace("\udcff", "é" * 60))

    answer = post(client, payment_method_id=card(bob, cards.APPROVE).pk)

    assert (answer.status_code, answer.json()["state"]) == (201, "succeeded")
    assert purchases(bob) == [1000]
    assert run("settle_payments").code == 0


@pytest.mark.parametrize(
    ("method_id", "state", "next_step"),
    [
        (cards.DECLINE, "failed", "try_again"),
        (cards.AUTHENTICATE, "requires_action", "act"),
        (cards.TIME_OUT, "pending", "wait"),
    ],
)
def test_other_outcomes_are_shown_with_the_next_step(client, bob, method_id, state, next_step):
    made = post(client, payment_method_id=card(bob, method_id).pk).json()

    assert (made["state"], made["next_step"], made["entry_id"]) == (state, next_step, None)
    assert (made["action_url"] is not None) == (state == "requires_action")
    assert (made["failure_message"] is not None) == (state == "failed")


def test_a_purchase_without_a_card_leads_to_the_providers_page(client, bob):
    made = post(client).json()
    assert (made["state"], made["payment_method_id"]) == ("requires_action", None)

    settled(Payment.objects.get(pk=made["id"]))

    assert client.get(f"{PATH}/{made['id']}").json()["state"] == "succeeded"
    (saved,) = client.get("/auth/account/payment-methods").json()["results"]
    assert (saved["brand"], saved["last4"]) == ("visa", "4242")


def test_a_repeat_is_the_same_top_up_and_says_so(client, bob):
    body = {"payment_method_id": card(bob, cards.APPROVE).pk}
    first = post(client, **body)

    again = post(client, **body)

    assert (first.status_code, again.status_code) == (201, 201)
    assert again.json() == first.json()
    assert ("Idempotent-Replayed" in first.headers, again.headers["Idempotent-Replayed"]) == (False, "true")
    assert purchases(bob) == [1000]


def test_another_purchase_under_the_key_is_refused(client, bob):
    post(client)

    answer = post(client, payment_method_id=card(bob, cards.APPROVE).pk)

    assert (answer.status_code, answer.json()["code"]) == (422, "idempotency_key_reused")


def test_a_key_is_required(client):
    answer = client.post(PATH, {"package": "small"})

    assert (answer.status_code, answer.json()["code"]) == (400, "idempotency_key_required")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"package": "none"}, 404, "package_not_found"),
        ({"package": ""}, 400, "invalid"),
        ({"package": 1}, 400, "invalid"),
        ({"payment_method_id": 10**18}, 404, "payment_method_not_found"),
        ({"payment_method_id": "1"}, 400, "invalid"),
        ({"payment_method_id": 0}, 400, "invalid"),
    ],
)
def test_an_impossible_purchase_is_refused_and_not_stored(client, body, status, code):
    answer = post(client, **body)

    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert Payment.objects.count() == 0
    assert post(client).status_code == 201


def test_a_site_without_payments_says_so(client, settings):
    settings.PAYMENT_PROVIDER = "none"

    answer = post(client)

    assert (answer.status_code, answer.json()["code"]) == (404, "payments_off")
    assert client.get(PATH).status_code == 200


def test_another_customers_card_is_not_found(client, alice):
    answer = post(client, payment_method_id=card(alice, cards.APPROVE).pk)

    assert (answer.status_code, answer.json()["code"]) == (404, "payment_method_not_found")


def test_the_list_is_the_customers_own_newest_first(client, bob, alice):
    bought(alice)
    made = [bought(bob, method_id).pk for method_id in (cards.APPROVE, cards.DECLINE, cards.APPROVE)]

    everything = client.get(PATH).json()
    paid = client.get(PATH, {"state": "succeeded", "limit": 1}).json()

    assert [one["id"] for one in everything["results"]] == made[::-1]
    assert (paid["count"], [one["id"] for one in paid["results"]]) == (2, made[2:])
    assert "state=succeeded" in paid["next"]


def test_the_list_as_csv(client, bob):
    bought(bob, cards.APPROVE)

    rows = list(csv.DictReader(io.StringIO(client.get(PATH, {"format": "csv"}).getvalue().decode())))

    assert [(row["package"], row["credits"], row["price"], row["state"]) for row in rows] == [
        ("small", "1000", "12.5", "succeeded")
    ]


def test_packages_that_are_sold_are_listed_in_whole_units_of_their_currency(client):
    package("yen", price_minor=1250, currency="JPY")
    gone = package("gone")
    gone.is_active = False
    gone.save()

    listed = client.get("/auth/account/top-up-packages").json()["results"]

    assert [(one["code"], one["price"], one["currency"]) for one in listed] == [
        ("yen", 1250, "JPY"),
        ("small", 12.5, "USD"),
    ]


def test_a_card_is_removed_for_good(client, bob):
    saved = card(bob, cards.APPROVE)

    assert client.delete(f"/auth/account/payment-methods/{saved.pk}").status_code == 204
    assert client.delete(f"/auth/account/payment-methods/{saved.pk}").status_code == 404
    assert client.get("/auth/account/payment-methods").json()["results"] == []
    assert post(client, payment_method_id=saved.pk).status_code == 404


def test_saving_a_card_begins_with_a_secret_for_the_providers_script(client):
    answer = client.post("/auth/account/payment-methods")

    assert answer.status_code == 201
    assert answer.json()["provider"] == fake().name
    assert answer.json()["client_secret"]


@pytest.mark.parametrize(
    "expected",
    [
        {"expected_price": 12.4},
        {"expected_price": "12.50", "expected_currency": "EUR"},
        {"expected_credits": 999},
        {"expected_currency": "usd"},
    ],
)
def test_a_package_that_has_changed_is_refused_with_its_present_terms(client, bob, expected):
    answer = post(client, payment_method_id=card(bob, cards.APPROVE).pk, **expected)

    refusal = answer.json()
    assert (answer.status_code, refusal["code"]) == (409, "package_changed")
    assert (refusal["credits"], refusal["price"], refusal["currency"]) == (1000, 12.5, "USD")
    assert Payment.objects.count() == 0


def test_an_unchanged_package_is_bought_and_its_repeat_is_the_same_after_a_change(client, bob):
    shown = client.get("/auth/account/top-up-packages").json()["results"][0]
    expected = {f"expected_{name}": shown[name] for name in ("credits", "price", "currency")}
    body = {"payment_method_id": card(bob, cards.APPROVE).pk, **expected}

    first = post(client, **body)
    sold = package()
    sold.price_minor = 2500
    sold.save()
    again, other = post(client, **body), post(client, key="two", **body)

    assert (first.status_code, again.json()["id"]) == (201, first.json()["id"])
    assert (other.status_code, other.json()["price"]) == (409, 25)
    assert post(client, **{**body, "expected_price": 25}).status_code == 422
    assert purchases(bob) == [1000]


@pytest.mark.parametrize("wrong", [{"expected_price": 0}, {"expected_credits": -1}, {"expected_currency": "DOLLAR"}])
def test_an_invalid_expected_package_is_named(client, wrong):
    answer = post(client, **wrong)

    assert (answer.status_code, list(answer.json()["errors"])) == (400, list(wrong))
