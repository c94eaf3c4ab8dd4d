import datetime as dt
from decimal import Decimal

import pytest

from accounts.services.keys.limits import KeyLimits
from ledger.models import Entry, Hold
from ledger.selectors import balance_of
from tests.factories import ApiKeyFactory, UserFactory, customer_with, give
from tests.ledger.tampering import tamper
from tests.usage.gateway import Gateway, refused
from tests.usage.metering import price
from usage.models import RequestLog

pytestmark = pytest.mark.django_db
PATH = "/v2/holds"


@pytest.fixture
def body(alice):
    return {"user_id": alice.pk, "credits": 30}


def shown(at: dt.datetime) -> str:
    return at.replace(tzinfo=None).isoformat() + "Z"


def test_a_hold_sets_credits_aside_and_is_returned_whole(gateway, alice):
    answer = gateway.post(
        PATH,
        {"user_id": alice.pk, "credits": "12.50", "expires_in": 60, "reference": "job 1", "metadata": {"gpu": 0.5}},
    )

    held = Hold.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "id": held.pk,
        "user_id": alice.pk,
        "credits": 12.5,
        "captured": 0,
        "status": "open",
        "expires_at": shown(held.expires_at),
        "reference": "job 1",
        "created_at": shown(held.created_at),
    }
    assert "Idempotent-Replayed" not in answer.headers
    assert (held.expires_at - held.created_at, held.metadata) == (dt.timedelta(seconds=60), {"gpu": 0.5})
    assert balance_of(user_id=alice.pk).available == Decimal("87.5")
    assert Entry.objects.of(alice.pk).count() == 1
    assert not RequestLog.objects.exists()


def test_a_hold_expires_after_a_quarter_of_an_hour_by_default(gateway, body):
    gateway.post(PATH, body)

    held = Hold.objects.get()
    assert held.expires_at - held.created_at == dt.timedelta(minutes=15)


def test_an_endpoint_is_held_for_at_its_price(gateway, alice):
    price("render", "2.5")
    price("render", 4, method="POST")
    asked = {"user_id": alice.pk, "endpoint": "render", "units": 3}

    assert gateway.post(PATH, asked).json()["credits"] == 7.5
    assert gateway.post(PATH, {**asked, "method": "post"}).json()["credits"] == 12


def test_given_credits_need_no_price(gateway, alice):
    answer = gateway.post(PATH, {"user_id": alice.pk, "endpoint": "nothing", "credits": 5})

    assert (answer.status_code, answer.json()["credits"]) == (201, 5)


def test_the_customers_key_names_the_customer(gateway, alice):
    answer = gateway.post(PATH, {"api_key": ApiKeyFactory(user=alice).raw, "credits": 5})

    assert (answer.status_code, answer.json()["user_id"]) == (201, alice.pk)


class TestARepetition:
    @pytest.mark.parametrize(
        "again",
        [{}, {"credits": "30.000"}, {"credits": 30.0}, {"expires_in": 900}, {"units": "1.0", "metadata": {}}],
        ids=str,
    )
    def test_repetition_returns_the_hold_opened_then(self, gateway, alice, body, again):
        first = gateway.post(PATH, body, key="k")

        repeated = gateway.post(PATH, body | again, key="k")

        assert (repeated.status_code, repeated.json()) == (201, first.json())
        assert repeated.headers["Idempotent-Replayed"] == "true"
        assert balance_of(user_id=alice.pk).reserved == 30

    def test_repetition_may_name_the_customer_otherwise(self, gateway, alice, body):
        first = gateway.post(PATH, body, key="k")

        repeated = gateway.post(PATH, {"api_key": ApiKeyFactory(user=alice).raw, "credits": 30}, key="k")

        assert repeated.json() == first.json()

    def test_repetition_shows_the_current_state_of_the_hold(self, gateway, body):
        held = gateway.post(PATH, body, key="k").json()
        gateway.post(f"{PATH}/{held['id']}/release")

        assert gateway.post(PATH, body, key="k").json() == {**held, "status": "released"}

    @pytest.mark.parametrize(
        "change",
        [{"credits": 31}, {"expires_in": 901}, {"reference": "r"}, {"metadata": {"a": 1}}, {"endpoint": "x"}],
        ids=str,
    )
    def test_repetition_with_another_payload_is_refused(self, gateway, alice, body, change):
        gateway.post(PATH, body, key="k")

        assert refused(gateway.post(PATH, body | change, key="k")) == (422, "idempotency_key_reused")
        assert balance_of(user_id=alice.pk).reserved == 30

    def test_repetition_by_another_customer_opens_a_hold_of_its_own(self, gateway, body):
        first = gateway.post(PATH, body, key="k").json()

        other = gateway.post(PATH, {**body, "user_id": customer_with(50).pk}, key="k")

        assert (other.status_code, other.json()["id"] != first["id"]) == (201, True)

    def test_repetition_of_a_refusal_is_judged_again(self, gateway, alice, body):
        first = gateway.post(PATH, {**body, "credits": 150}, key="k")
        give(alice, 100)

        again = gateway.post(PATH, {**body, "credits": 150}, key="k")

        assert (refused(first), again.status_code) == ((402, "insufficient_credits"), 201)


def test_a_hold_without_an_idempotency_key_is_refused(gateway, body):
    assert refused(gateway.post(PATH, body, key=None)) == (400, "idempotency_key_required")
    assert not Hold.objects.exists()


@pytest.mark.parametrize(
    ("sent", "fields"),
    [
        ({"credits": 1}, ["api_key", "user_id"]),
        ({"user_id": 1, "api_key": "x", "credits": 1}, ["api_key", "user_id"]),
        ({"user_id": 1}, ["credits", "endpoint"]),
        ({"user_id": 1, "credits": None, "endpoint": None}, ["credits", "endpoint"]),
        ({"user_id": 1, "credits": 0}, ["credits"]),
        ({"user_id": 1, "credits": -1}, ["credits"]),
        ({"user_id": 1, "endpoint": ""}, ["endpoint"]),
        ({"user_id": 1, "endpoint": "x", "units": -1}, ["units"]),
        ({"user_id": 1, "credits": 1, "expires_in": 0}, ["expires_in"]),
        ({"user_id": 1, "credits": 1, "expires_in": 86_401}, ["expires_in"]),
        ({"user_id": 1, "credits": 1, "expires_in": "60"}, ["expires_in"]),
        ({"user_id": 1, "credits": 1, "expires_in": None}, ["expires_in"]),
        ({"user_id": 1, "credits": 1, "reference": "x" * 256}, ["reference"]),
        ({"user_id": 1, "credits": 1, "metadata": [1]}, ["metadata"]),
        ({"user_id": 1, "credits": 1, "method": "1"}, ["method"]),
    ],
    ids=str,
)
def test_an_invalid_field_is_named(gateway, sent, fields):
    answer = gateway.post(PATH, sent)

    assert refused(answer) == (400, "invalid")
    assert sorted(answer.json()["errors"]) == fields


def test_an_endpoint_without_a_price_is_refused(gateway, alice):
    answer = gateway.post(PATH, {"user_id": alice.pk, "endpoint": "nothing"})

    assert refused(answer) == (400, "price_unknown")


class TestWithoutEnoughCredits:
    def test_the_refusal_names_the_reason(self, gateway, alice, body, settings):
        settings.TOP_UP_URL = "https://shop.example/credits"
        open_hold = gateway.post(PATH, {**body, "credits": 80}).json()

        answer = gateway.post(PATH, body)

        assert answer.status_code == 402
        assert answer.json() == {
            "detail": "Insufficient credits. You have 20 credit(s) remaining, but this request requires 30 credit(s).",
            "code": "insufficient_credits",
            "credits_required": 30,
            "credits_available": 20,
            "credits_reserved": 80,
            "reason": "held",
            "next_hold_expires_at": open_hold["expires_at"],
            "top_up_url": "https://shop.example/credits",
        }

    def test_spent_credits_are_the_reason_beyond_the_balance(self, gateway, body):
        assert gateway.post(PATH, {**body, "credits": "100.000001"}).json()["reason"] == "spent"

    @pytest.mark.django_db(transaction=True)
    def test_a_frozen_account_is_the_reason(self, gateway, body):
        tamper("UPDATE ledger_balance SET frozen_at = now()")

        assert gateway.post(PATH, body).json()["reason"] == "frozen"

    def test_the_limit_of_the_key_is_the_reason(self, gateway, alice):
        limited = ApiKeyFactory(user=alice, limits=KeyLimits(spending_limit=Decimal(2)))

        answer = gateway.post(PATH, {"api_key": limited.raw, "credits": 3})

        assert answer.status_code == 402
        assert (answer.json()["reason"], answer.json()["credits_required"]) == ("key_limit", 3)

    def test_the_largest_of_all_prices_is_refused_like_any_other(self, gateway, alice):
        price("dear", "999999999.999999")

        answer = gateway.post(PATH, {"user_id": alice.pk, "endpoint": "dear", "units": "999999999.999999"})

        assert refused(answer) == (402, "insufficient_credits")


def test_a_customer_who_may_not_be_charged_cannot_have_credits_held(gateway, alice, body):
    key = ApiKeyFactory(user=alice)
    type(alice).objects.update(is_active=False)

    assert refused(gateway.post(PATH, body)) == (403, "customer_inactive")
    assert refused(gateway.post(PATH, {"api_key": key.raw, "credits": 1})) == (403, "customer_key_invalid")
    assert refused(gateway.post(PATH, {"api_key": "x", "credits": 1})) == (403, "customer_key_invalid")
    assert refused(gateway.post(PATH, {"user_id": 2**63 - 1, "credits": 1})) == (404, "customer_not_found")
    assert refused(gateway.post(PATH, {"user_id": UserFactory().pk, "credits": 1})) == (402, "insufficient_credits")


def test_a_customers_own_key_may_not_hold(alice, body):
    own = Gateway(api_key=ApiKeyFactory(user=alice).raw)

    assert refused(own.post(PATH, body)) == (403, "scope_missing")
