import json
import uuid
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from accounts.services.keys.limits import KeyLimits
from ledger.models import Entry, OperationKey
from ledger.selectors import balance_of
from tests.factories import ApiKeyFactory, UserFactory, customer_with, give
from tests.ledger.posting import hold
from tests.ledger.tampering import tamper
from tests.usage.gateway import Gateway, refused
from tests.usage.metering import price, rolled_up
from usage.models import RequestLog

pytestmark = pytest.mark.django_db
PATH = "/v2/charges"


@pytest.fixture
def body(alice):
    price("search", "2.5")
    return {"user_id": alice.pk, "endpoint": "search"}


def test_a_charge_returns_all_that_it_did(gateway, alice, body):
    answer = gateway.post(PATH, body)

    entry, logged = Entry.objects.latest("pk"), RequestLog.objects.get()
    assert answer.status_code == 201
    assert answer.json() == {
        "id": logged.pk,
        "user_id": alice.pk,
        "credits": 2.5,
        "balance_after": 97.5,
        "available": 97.5,
        "entry_id": entry.pk,
        "request_id": str(logged.request_id),
    }
    assert b'"credits":2.5,"balance_after":97.5,' in answer.content
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Cache-Control"] == "no-store"
    assert "Idempotent-Replayed" not in answer.headers
    assert balance_of(user_id=alice.pk).balance == Decimal("97.5")


def test_the_fields_of_the_request_are_logged(gateway, alice):
    price("/v1/items/{id}", 1)
    said = {"method": "get", "status_code": 206, "latency_ms": 12, "reference": " job 1", "units": "3.5"}
    metadata = {"größe": [1, None, 0.1], "deep": {"exact": 12345678.123456789}}

    gateway.post(PATH, {"user_id": alice.pk, "endpoint": "/v1/items/7?x=1", **said, "metadata": metadata})

    logged = RequestLog.objects.get()
    assert (logged.endpoint, logged.path) == ("/v1/items/{id}", "/v1/items/7")
    assert (logged.method, logged.status, logged.latency_ms, logged.reference) == ("GET", 206, 12, " job 1")
    assert (logged.units, logged.credits, logged.metadata) == (Decimal("3.5"), Decimal("3.5"), metadata)
    assert Entry.objects.get(pk=logged.entry_id).reference == " job 1"
    assert rolled_up(alice) == [("/v1/items/{id}", 1, 0, 0, Decimal("3.5"))]


def test_decimals_in_metadata_stay_exact(gateway, body):
    gateway.post(PATH, json.dumps(body)[:-1] + ', "metadata": {"a": 0.12345678901234567890123}}')

    with connection.cursor() as cursor:
        cursor.execute("SELECT metadata ->> 'a' FROM usage_requestlog")
        assert cursor.fetchone() == ("0.12345678901234567890123",)


def test_the_customers_key_names_customer_and_key(gateway, alice):
    issued = ApiKeyFactory(user=alice)

    answer = gateway.post(PATH, {"api_key": issued.raw, "endpoint": "search", "credits": 1})

    assert (answer.status_code, answer.json()["user_id"]) == (201, alice.pk)
    assert RequestLog.objects.get().api_key == issued.api_key


def test_a_given_amount_overrides_the_price(gateway, body):
    assert gateway.post(PATH, {**body, "credits": "0.000001"}).json()["credits"] == 0.000001


@pytest.mark.parametrize(("status", "cost"), [(200, 2.5), (404, 0), (500, 0), (401, 0), (402, 0), (429, 0)])
def test_the_cost_depends_on_how_the_request_ended(gateway, body, status, cost):
    answer = gateway.post(PATH, {**body, "status_code": status})

    assert (answer.status_code, answer.json()["credits"]) == (201, cost)
    assert (answer.json()["entry_id"] is None) == (cost == 0)


def test_a_free_charge_is_logged_once_and_makes_no_entry(gateway, alice):
    price("free", 0)
    body = {"user_id": alice.pk, "endpoint": "free"}

    first, again = gateway.post(PATH, body, key="k"), gateway.post(PATH, body, key="k")

    assert (first.status_code, first.json()["entry_id"], first.json()["credits"]) == (201, None, 0)
    assert (again.status_code, again.json()) == (201, first.json())
    assert again.headers["Idempotent-Replayed"] == "true"
    assert RequestLog.objects.count() == OperationKey.objects.count() == 1


class TestTheRequestId:
    def test_request_id_is_the_calls_own_when_that_is_a_uuid(self, gateway, body):
        sent = str(uuid.uuid4())

        answer = gateway.post(PATH, body, headers={"X-Request-Id": sent})

        assert answer.json()["request_id"] == answer.headers["X-Request-Id"] == sent

    def test_request_id_is_the_one_that_was_made_for_the_call(self, gateway, body):
        answer = gateway.post(PATH, body)

        assert answer.json()["request_id"] == answer.headers["X-Request-Id"]

    @pytest.mark.parametrize("sent", ["job 7", "{" + "0" * 32 + "}", "0" * 8 + "_" + "0" * 23, "0" * 31])
    def test_request_id_is_new_when_the_calls_own_is_no_uuid(self, gateway, body, sent):
        answer = gateway.post(PATH, body, headers={"X-Request-Id": sent})

        assert answer.headers["X-Request-Id"] == sent
        assert uuid.UUID(answer.json()["request_id"]).version == 7


class TestARepetition:
    def test_repetition_returns_the_same_but_for_the_current_balance(self, gateway, alice, body):
        first = gateway.post(PATH, body, key="k")
        give(alice, 10)

        again = gateway.post(PATH, body, key="k")

        assert again.status_code == 201
        assert again.headers["Idempotent-Replayed"] == "true"
        assert again.json() == {**first.json(), "available": 107.5}
        assert RequestLog.objects.count() == 1
        assert rolled_up(alice) == [("search", 1, 0, 0, Decimal("2.5"))]

    @pytest.mark.parametrize(
        ("first", "again"),
        [
            ({"units": 3}, {"units": "3"}),
            ({"units": "3.0"}, {"units": 3.0}),
            ({"credits": 3}, {"credits": "3.000000"}),
            ({}, {"units": 1, "credits": None, "status_code": 200, "metadata": {}, "reference": None}),
            ({"method": "GET"}, {"method": "get"}),
            ({"metadata": {"a": 1, "b": 2.50}}, {"metadata": {"b": 2.5, "a": 1}}),
            ({}, {"unknown": True}),
        ],
        ids=str,
    )
    def test_repetition_may_be_written_otherwise(self, gateway, body, first, again):
        made = gateway.post(PATH, body | first, key="k")

        repeated = gateway.post(PATH, body | again, key="k")

        assert (repeated.status_code, repeated.json()) == (201, made.json())
        assert repeated.headers["Idempotent-Replayed"] == "true"

    def test_repetition_may_name_the_customer_otherwise(self, gateway, alice, body):
        made = gateway.post(PATH, body, key="k")

        repeated = gateway.post(PATH, {"api_key": ApiKeyFactory(user=alice).raw, "endpoint": "search"}, key="k")

        assert (repeated.status_code, repeated.json()) == (201, made.json())

    @pytest.mark.parametrize(
        "change",
        [
            {"endpoint": "other"}, {"units": 2}, {"credits": 2.5}, {"status_code": 201}, {"method": "GET"},
            {"latency_ms": 0}, {"reference": "r"}, {"metadata": {"a": "3"}},
        ],
        ids=str,
    )  # fmt: skip
    def test_repetition_with_another_payload_is_refused(self, gateway, alice, body, change):
        gateway.post(PATH, body, key="k")

        assert refused(gateway.post(PATH, body | change, key="k")) == (422, "idempotency_key_reused")
        assert balance_of(user_id=alice.pk).balance == Decimal("97.5")

    def test_repetition_by_another_customer_is_a_charge_of_its_own(self, gateway, body):
        gateway.post(PATH, body, key="k")
        bob = customer_with(10)

        answer = gateway.post(PATH, {**body, "user_id": bob.pk}, key="k")

        assert (answer.status_code, answer.json()["balance_after"]) == (201, 7.5)

    def test_repetition_of_a_refusal_is_judged_again(self, gateway, alice, body):
        dear = {**body, "credits": 150}
        first = gateway.post(PATH, dear, key="k")
        give(alice, 100)

        again = gateway.post(PATH, dear, key="k")

        assert refused(first) == (402, "insufficient_credits")
        assert (again.status_code, again.json()["balance_after"]) == (201, 50)
        assert "Idempotent-Replayed" not in again.headers


def test_an_endpoint_without_a_price_is_refused_and_not_logged(gateway, alice):
    answer = gateway.post(PATH, {"user_id": alice.pk, "endpoint": "nothing"})

    assert refused(answer) == (400, "price_unknown")
    assert not RequestLog.objects.exists()


class TestWithoutEnoughCredits:
    def test_the_refusal_names_the_reason_and_is_logged_as_rejected(self, gateway, alice, body, settings):
        settings.TOP_UP_URL = "https://shop.example/credits"

        answer = gateway.post(PATH, {**body, "credits": "100.5"})

        assert answer.status_code == 402
        assert answer.json() == {
            "detail": "Insufficient credits. You have 100 credit(s) remaining, "
            "but this request requires 100.5 credit(s).",
            "code": "insufficient_credits",
            "credits_required": 100.5,
            "credits_available": 100,
            "credits_reserved": 0,
            "reason": "spent",
            "next_hold_expires_at": None,
            "top_up_url": "https://shop.example/credits",
        }
        assert RequestLog.objects.get().status == 402
        assert rolled_up(alice) == [("search", 0, 0, 1, 0)]

    def test_held_credits_are_the_reason_until_they_expire(self, gateway, alice, body):
        held = hold(alice, 60).hold

        answer = gateway.post(PATH, {**body, "credits": 50}).json()

        assert (answer["reason"], answer["credits_available"], answer["credits_reserved"]) == ("held", 40, 60)
        assert answer["next_hold_expires_at"] == held.expires_at.replace(tzinfo=None).isoformat() + "Z"

    @pytest.mark.django_db(transaction=True)
    def test_a_frozen_account_is_the_reason(self, gateway, body):
        tamper("UPDATE ledger_balance SET frozen_at = now()")

        answer = gateway.post(PATH, body).json()

        assert (answer["reason"], answer["credits_available"], answer["credits_required"]) == ("frozen", 100, 2.5)

    def test_the_limit_of_the_key_is_the_reason(self, gateway, alice, body):
        limited = ApiKeyFactory(user=alice, limits=KeyLimits(spending_limit=Decimal(2)))

        answer = gateway.post(PATH, {"api_key": limited.raw, "endpoint": "search"})

        assert answer.status_code == 402
        assert (answer.json()["reason"], answer.json()["credits_available"]) == ("key_limit", 100)
        assert RequestLog.objects.get().status == 402

    def test_the_largest_of_all_prices_is_refused_like_any_other(self, gateway, body):
        price("dear", "999999999.999999")

        answer = gateway.post(PATH, {**body, "endpoint": "dear", "units": "999999999.999999"})

        assert refused(answer) == (402, "insufficient_credits")


class TestACustomer:
    def test_deactivated_customer_is_refused_by_id_and_by_key(self, gateway, alice, body):
        issued = ApiKeyFactory(user=alice)
        type(alice).objects.update(is_active=False)

        assert refused(gateway.post(PATH, body)) == (403, "customer_inactive")
        by_key = gateway.post(PATH, {"api_key": issued.raw, "endpoint": "search"})
        assert refused(by_key) == (403, "customer_key_invalid")

    def test_unknown_customer_is_not_found(self, gateway, body):
        assert refused(gateway.post(PATH, {**body, "user_id": 2**63 - 1})) == (404, "customer_not_found")

    def test_customer_without_credits_is_refused(self, gateway, body):
        assert refused(gateway.post(PATH, {**body, "user_id": UserFactory().pk})) == (402, "insufficient_credits")

    @pytest.mark.parametrize("raw", ["", " ", "nonsense", "tb_live_" + "0" * 51, "é" * 20, "x" * 10_000])
    def test_customer_with_a_malformed_key_is_refused_like_one_with_an_unknown_key(self, gateway, body, raw):
        gone = ApiKeyFactory()
        gone.api_key.delete()

        answer = gateway.post(PATH, {"api_key": raw, "endpoint": "search"})
        unknown = gateway.post(PATH, {"api_key": gone.raw, "endpoint": "search"})

        assert refused(answer) == (403, "customer_key_invalid")
        assert answer.content == unknown.content

    def test_service_is_not_a_customer(self, gateway, body):
        answer = gateway.post(PATH, {"api_key": gateway.api_key, "endpoint": "search"})

        assert refused(answer) == (403, "customer_key_invalid")


def test_a_customers_own_key_may_not_charge(alice, body):
    own = Gateway(api_key=ApiKeyFactory(user=alice).raw)

    assert refused(own.post(PATH, body)) == (403, "scope_missing")
    assert not RequestLog.objects.exists()


def test_services_are_not_limited(gateway, body, settings):
    settings.RATE_LIMIT_PER_KEY = settings.RATE_LIMIT_PER_ADDRESS = 1

    answers = [gateway.post(PATH, body) for _ in range(3)]

    assert [answer.status_code for answer in answers] == [201] * 3
    assert "X-RateLimit-Limit" not in answers[-1].headers


@pytest.mark.django_db(transaction=True)
def test_a_charge_takes_two_statements():
    alice, gateway = customer_with(100), Gateway()
    price("search", 1)
    gateway.post(PATH, {"user_id": alice.pk, "endpoint": "search"})

    with CaptureQueriesContext(connection) as queries:
        gateway.post(PATH, {"user_id": alice.pk, "endpoint": "search"})

    assert len(queries) == 2  # whose key it is, and the charge


@pytest.mark.parametrize(("latency", "kept"), [(12.5, 13), ("12", 12), (-1, None), ("fast", None), ({}, None)])
def test_a_latency_that_says_nothing_refuses_no_charge(gateway, alice, latency, kept):
    price("search", 1)

    answer = gateway.post(PATH, {"user_id": alice.pk, "endpoint": "search", "latency_ms": latency})

    assert answer.status_code == 201, answer.content
    assert RequestLog.objects.get().latency_ms == kept
