"""A key's own calls a minute: one count for its own calls and for charges, holds and metered requests by it."""

from decimal import Decimal

import pytest
from django.db import connection
from rest_framework.test import APIClient

from accounts.key_format import hash_of
from accounts.models import ApiKey
from accounts.services.keys.limits import KeyLimits
from config.models import RateWindow
from ledger.errors import InsufficientCredits
from ledger.models import Entry, Hold
from ledger.selectors import balance_of
from tests.accounts.races import at_once
from tests.factories import ApiKeyFactory
from tests.usage import metered_views
from tests.usage.batches import asked
from tests.usage.gateway import refused
from tests.usage.metered_services import Caller
from tests.usage.metered_views import worked
from tests.usage.metering import captured, charge, held, price
from usage.errors import CustomerKeyRateLimited
from usage.models import RequestLog
from usage.services.charges.calls import charge_together

pytestmark = pytest.mark.django_db
LIMIT = 2


@pytest.fixture(autouse=True)
def _a_whole_minute(db):
    """Start no test in the last seconds of a minute, at whose end the count is reset."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT 60 - extract(epoch FROM clock_timestamp())::numeric %% 60", [])
        left = cursor.fetchone()[0]
        if left < 5:
            cursor.execute("SELECT pg_sleep(%s)", [left + Decimal("0.05")])
    worked.clear()


@pytest.fixture
def key(alice):
    price("search", 1)
    price("free", 0)
    return ApiKeyFactory(user=alice, limits=KeyLimits(rate_limit_per_minute=LIMIT))


def taken(key):
    row = RateWindow.objects.filter(subject=f"key:{key.api_key.pk}").first()
    return row.taken if row else 0


class TestCharges:
    def test_charges_beyond_the_limit_are_429_and_cost_nothing_anywhere(self, gateway, alice, key):
        body = {"api_key": key.raw, "endpoint": "search"}
        for _ in range(LIMIT):
            assert gateway.post("/v2/charges", body).status_code == 201

        answer = gateway.post("/v2/charges", body, key="third")

        assert answer.json() == {"detail": "Rate limit exceeded. Please try again later.", "code": "rate_limited"}
        assert (answer.status_code, answer.headers["X-RateLimit-Limit"]) == (429, str(LIMIT))
        assert answer.headers["X-RateLimit-Remaining"] == "0"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60
        assert (balance_of(user_id=alice.pk).balance, RequestLog.objects.count(), taken(key)) == (98, LIMIT, LIMIT)

    def test_repeated_charges_are_answered_and_take_no_call(self, gateway, key):
        body = {"api_key": key.raw, "endpoint": "search"}
        for name in ("a", "b"):
            gateway.post("/v2/charges", body, key=name)

        for name in ("a", "b", "a"):
            answer = gateway.post("/v2/charges", body, key=name)
            assert (answer.status_code, answer.headers["Idempotent-Replayed"]) == (201, "true")
        assert taken(key) == LIMIT

    def test_refused_charges_take_no_call(self, gateway, key):
        for endpoint, code in (("search", "insufficient_credits"), ("nothing", "price_unknown")):
            for _ in range(LIMIT + 1):
                body = {"api_key": key.raw, "endpoint": endpoint, "units": 1000}
                assert refused(gateway.post("/v2/charges", body))[1] == code

        assert taken(key) == 0
        assert gateway.post("/v2/charges", {"api_key": key.raw, "endpoint": "search"}).status_code == 201

    @pytest.mark.parametrize("status", [401, 402, 429])
    def test_rejected_requests_take_no_call_and_are_not_refused(self, key, status):
        for _ in range(LIMIT + 2):
            charge(None, key_hash=hash_of(key.raw), status=status)

        assert (taken(key), RequestLog.objects.count()) == (0, LIMIT + 2)

    def test_free_or_failed_charges_take_a_call(self, key):
        charge(None, "free", key_hash=hash_of(key.raw))
        charge(None, key_hash=hash_of(key.raw), status=500)

        with pytest.raises(CustomerKeyRateLimited):
            charge(None, "free", key_hash=hash_of(key.raw))

    def test_captures_of_earlier_holds_take_no_call_and_return_none(self, key):
        for _ in range(LIMIT):
            charge(None, key_hash=hash_of(key.raw))

        charge(None, key_hash=hash_of(key.raw), is_admitted=True)
        with pytest.raises(InsufficientCredits):
            charge(None, key_hash=hash_of(key.raw), units=Decimal(1000), is_admitted=True)

        assert taken(key) == LIMIT

    def test_charges_of_the_customer_or_by_another_key_are_not_bound(self, alice, key):
        for _ in range(LIMIT):
            charge(None, key_hash=hash_of(key.raw))
        other = ApiKeyFactory(user=alice)

        for _ in range(LIMIT + 1):
            charge(alice)
            charge(None, key_hash=hash_of(other.raw))

        assert RateWindow.objects.count() == 1

    def test_charges_of_the_next_minute_pass_again(self, key):
        for _ in range(LIMIT):
            charge(None, key_hash=hash_of(key.raw))
        RateWindow.objects.update(minute=RateWindow.objects.get().minute - 1)

        charge(None, key_hash=hash_of(key.raw))

        assert taken(key) == 1

    def test_batched_charges_pass_and_are_refused_in_their_order(self, key):
        named = {"key": ApiKey.objects.get(pk=key.api_key.pk)}
        first = asked(idempotency_key="first", **named)
        (done,) = charge_together([first])

        rows = charge_together([
            asked(units=Decimal(1000), **named), first, asked("nothing", **named), asked(**named), asked(**named)
        ])  # fmt: skip

        assert [row.outcome for row in rows] == [
            "insufficient", "replayed", "price_unknown", "charged", "rate_limited"
        ]  # fmt: skip
        assert (rows[1].entry_id, taken(key)) == (done.entry_id, LIMIT)


class TestHolds:
    def test_holds_beyond_the_limit_are_429_and_hold_nothing(self, gateway, alice, key):
        body = {"api_key": key.raw, "credits": 1}
        for name in ("a", "b"):
            assert gateway.post("/v2/holds", body, key=name).status_code == 201

        answer = gateway.post("/v2/holds", body)

        assert refused(answer) == (429, "rate_limited")
        assert (answer.headers["X-RateLimit-Limit"], Hold.objects.count()) == (str(LIMIT), LIMIT)
        assert gateway.post("/v2/holds", body, key="a").headers["Idempotent-Replayed"] == "true"
        assert balance_of(user_id=alice.pk).reserved == LIMIT

    def test_holds_take_one_call_and_their_captures_none(self, key):
        opened = held(None, key_hash=hash_of(key.raw), units=Decimal(3)).hold
        captured(opened, credits=Decimal(1), final=False)
        captured(opened, credits=Decimal(1))

        assert taken(key) == 1

    def test_refused_holds_take_no_call(self, alice):
        key = ApiKeyFactory(user=alice, limits=KeyLimits(rate_limit_per_minute=LIMIT, spending_limit=Decimal(5)))
        price("search", 1)

        for credits in (6, 1000):
            with pytest.raises(InsufficientCredits):
                held(None, None, key_hash=hash_of(key.raw), credits=Decimal(credits))

        assert taken(key) == 0


class TestVerdicts:
    def test_verdicts_name_the_limit_and_take_no_call(self, gateway, key):
        body = {"api_key": key.raw, "endpoint": "search"}
        verdicts = [gateway.post("/v2/keys/verify", body, key=None).json()["code"] for _ in range(LIMIT + 1)]
        for _ in range(LIMIT):
            gateway.post("/v2/charges", body)

        verdict = gateway.post("/v2/keys/verify", body, key=None).json()

        assert verdicts == ["valid"] * (LIMIT + 1)
        assert (verdict["valid"], verdict["code"], verdict["available"]) == (False, "rate_limited", 98)
        assert gateway.post("/v2/keys/verify", {"api_key": key.raw}, key=None).json()["code"] == "rate_limited"


class TestMeteredViews:
    @pytest.fixture
    def caller(self, alice, key, settings):
        settings.ROOT_URLCONF = metered_views.__name__
        caller = Caller(alice)
        caller.raw = key.raw
        return caller

    @pytest.mark.parametrize("kind", metered_views.KINDS)
    def test_requests_beyond_the_limit_are_429_before_any_work(self, caller, kind):
        statuses = [caller.post(kind).status_code for _ in range(LIMIT + 1)]

        assert (statuses, len(worked)) == ([200] * LIMIT + [429], LIMIT)
        answer = caller.post(kind)
        assert answer.json()["code"] == "rate_limited"
        assert 1 <= int(answer.headers["Retry-After"]) <= 60

    def test_requests_that_a_throttle_has_counted_are_counted_once(self, gateway, alice, key, settings):
        price("translate", 1)
        client = APIClient(headers={"X-API-KEY": key.raw})

        statuses = [
            client.post("/v2/demo/translate", {"text": "a", "to": "de"}, format="json").status_code
            for _ in range(LIMIT + 1)
        ]

        assert statuses == [200] * LIMIT + [429]
        assert Entry.objects.filter(user=alice, reason="capture").count() == LIMIT


def test_calls_and_charges_by_a_key_are_one_count(gateway, key):
    own = APIClient(headers={"X-API-KEY": key.raw})
    assert own.get("/v2/account/summary").status_code == 200
    assert gateway.post("/v2/charges", {"api_key": key.raw, "endpoint": "search"}).status_code == 201

    assert refused(gateway.post("/v2/charges", {"api_key": key.raw, "endpoint": "search"})) == (429, "rate_limited")
    assert own.get("/v2/account/summary").status_code == 429


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("is_batched", [False, True], ids=["one by one", "charged together"])
def test_concurrent_charges_pass_up_to_the_limit(alice, settings, is_batched):
    settings.CHARGE_BATCHING = is_batched
    price("search", 1)
    key = ApiKeyFactory(user=alice, limits=KeyLimits(rate_limit_per_minute=5))

    outcomes = at_once(16, lambda: charge(None, key_hash=hash_of(key.raw)))

    assert [type(one) for one in outcomes].count(CustomerKeyRateLimited) == 11
    assert (balance_of(user_id=alice.pk).balance, taken(key)) == (95, 5)


@pytest.mark.django_db(transaction=True)
def test_charges_and_holds_by_one_key_do_not_lock_each_other_out(alice):
    price("search", 1)
    key = ApiKeyFactory(user=alice, limits=KeyLimits(rate_limit_per_minute=1000, spending_limit=Decimal(60)))
    turns = iter([charge, held] * 8)

    outcomes = at_once(16, lambda: next(turns)(None, key_hash=hash_of(key.raw)))

    assert [one for one in outcomes if isinstance(one, Exception)] == []
    assert taken(key) == 16
