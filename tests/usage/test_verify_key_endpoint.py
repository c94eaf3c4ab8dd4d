import datetime as dt
from decimal import Decimal

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.key_format import hash_of
from accounts.models import ApiKey, User
from accounts.services.keys.limits import KeyLimits
from ledger.models import Balance, Entry, OperationKey
from tests.factories import ApiKeyFactory, UserFactory, customer_with
from tests.ledger.posting import hold
from tests.ledger.tampering import tamper
from tests.usage.gateway import Gateway, refused
from tests.usage.metering import charge, held, price, refund
from usage.models import KeySpending, RequestLog

pytestmark = pytest.mark.django_db
PATH = "/v2/keys/verify"
NOBODY = {"user_id": None, "scopes": None, "available": None}


@pytest.fixture
def key(alice):
    price("search", "2.5")
    return ApiKeyFactory(user=alice)


def verify(gateway, key, **asked):
    answer = gateway.post(PATH, {"api_key": getattr(key, "raw", key)} | asked, key=None)
    assert answer.status_code == 200, answer.content
    return answer.json()


def code(gateway, key, **asked):
    verdict = verify(gateway, key, **asked)
    assert verdict["valid"] == (verdict["code"] == "valid")
    return verdict["code"]


def test_a_good_key_is_valid_for_what_its_customer_can_pay(gateway, alice, key):
    assert verify(gateway, key, endpoint="search", units=3) == {
        "valid": True,
        "code": "valid",
        "user_id": alice.pk,
        "scopes": ["account:read"],
        "credits_required": 7.5,
        "available": 100,
    }


def test_without_an_endpoint_nothing_is_priced(gateway, alice, key):
    verdict = verify(gateway, key)

    assert (verdict["code"], verdict["credits_required"], verdict["available"]) == ("valid", None, 100)


@pytest.mark.parametrize("raw", ["", " ", "nonsense", "tb_live_" + "0" * 51, "é" * 20, "x" * 10_000])
def test_a_malformed_key_belongs_to_no_customer(gateway, key, raw):
    assert verify(gateway, raw, endpoint="search") == {
        "valid": False, "code": "api_key_invalid", "credits_required": 2.5, **NOBODY
    }  # fmt: skip


def test_an_unknown_or_mistyped_key_belongs_to_no_customer(gateway, key):
    mistyped = key.raw[:-1] + ("0" if key.raw[-1] != "0" else "1")
    gone = ApiKeyFactory()
    gone.api_key.delete()

    for raw in (gone.raw, mistyped):
        assert verify(gateway, raw) == {"valid": False, "code": "api_key_invalid", "credits_required": None, **NOBODY}


def test_a_service_key_belongs_to_no_customer(gateway, key):
    assert verify(gateway, gateway.api_key, endpoint="search")["user_id"] is None
    assert code(gateway, gateway.api_key) == "api_key_invalid"


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ({"revoked_at": timezone.now()}, "api_key_revoked"),
        ({"expires_at": timezone.now()}, "api_key_expired"),
        ({"expires_at": timezone.now() + dt.timedelta(hours=1)}, "valid"),
        ({"revoked_at": timezone.now(), "expires_at": timezone.now()}, "api_key_revoked"),
    ],
    ids=["revoked", "expired", "expiring", "both"],
)
def test_a_key_that_has_ended_says_how_and_whose_it_was(gateway, alice, key, state, expected):
    ApiKey.objects.filter(pk=key.api_key.pk).update(**state)

    verdict = verify(gateway, key, endpoint="search")

    assert (verdict["code"], verdict["valid"]) == (expected, expected == "valid")
    assert (verdict["user_id"], verdict["scopes"], verdict["available"]) == (alice.pk, ["account:read"], 100)


def test_a_deactivated_customers_key_is_refused(gateway, alice, key):
    User.objects.filter(pk=alice.pk).update(is_active=False)

    assert code(gateway, key, endpoint="search") == "customer_inactive"


def test_an_endpoint_without_a_price_is_refused(gateway, key):
    verdict = verify(gateway, key, endpoint="nothing")

    assert (verdict["code"], verdict["credits_required"], verdict["available"]) == ("price_unknown", None, 100)


@pytest.mark.parametrize(("units", "expected"), [("40", "valid"), ("40.000001", "insufficient_credits")])
def test_a_price_beyond_the_available_credits_is_refused(gateway, key, units, expected):
    assert code(gateway, key, endpoint="search", units=units) == expected


def test_held_credits_cannot_be_paid_with_until_they_expire(gateway, alice, key):
    hold(alice, 60)
    hold(alice, 20, seconds=0)

    assert verify(gateway, key)["available"] == 40
    assert code(gateway, key, endpoint="search", units=16) == "valid"
    assert code(gateway, key, endpoint="search", units=17) == "insufficient_credits"


def test_a_price_of_one_method_is_that_methods(gateway, key):
    price("search", 9, method="POST")

    assert verify(gateway, key, endpoint="search", method="post")["credits_required"] == 9
    assert verify(gateway, key, endpoint="search", method="GET")["credits_required"] == 2.5


def test_the_least_that_a_price_asks_is_required(gateway, key):
    price("translate", "0.1", minimum=Decimal(5))

    assert verify(gateway, key, endpoint="translate")["credits_required"] == 5


def test_a_customer_without_credits_may_still_do_what_is_free(gateway):
    price("free", 0)
    price("search", 1)
    key = ApiKeyFactory(user=UserFactory())

    assert verify(gateway, key, endpoint="free")["available"] == 0
    assert code(gateway, key, endpoint="free") == "valid"
    assert code(gateway, key, endpoint="search") == "insufficient_credits"


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "state",
    ["frozen_at = now()", "overdraft_limit = 50", "overdraft_limit = 50, frozen_at = now()", "seq = seq"],
)
@pytest.mark.parametrize(("endpoint", "units"), [("free", 1), ("search", 100), ("search", 150), ("search", 151)])
def test_a_verdict_says_what_a_charge_would_then_do(state, endpoint, units):
    alice = customer_with(100)
    tamper(f"UPDATE ledger_balance SET {state}")
    price("free", 0)
    price("search", 1)
    gateway, key = Gateway(), ApiKeyFactory(user=alice)

    verdict = verify(gateway, key, endpoint=endpoint, units=units)
    charged = gateway.post("/v2/charges", {"api_key": key.raw, "endpoint": endpoint, "units": units})

    assert verdict["valid"] == (charged.status_code == 201)
    said = charged.json()
    assert verdict["credits_required"] == (said["credits"] if verdict["valid"] else said["credits_required"])


class TestAKeyWithALimit:
    """It may spend 10 credits a month."""

    @pytest.fixture
    def limited(self, alice):
        price("search", 1)
        price("free", 0)
        return ApiKeyFactory(user=alice, limits=KeyLimits(spending_limit=Decimal(10)))

    def asked(self, gateway, key, units, endpoint="search"):
        """Ask for a verdict, then charge: both must agree."""
        verdict = verify(gateway, key, endpoint=endpoint, units=units)
        charged = gateway.post("/v2/charges", {"api_key": key.raw, "endpoint": endpoint, "units": units})
        assert verdict["valid"] == (charged.status_code == 201)
        assert verdict["available"] > 80
        return verdict["code"]

    def test_limited_key_is_good_up_to_its_limit(self, gateway, limited):
        assert self.asked(gateway, limited, "10.000001") == "insufficient_credits"
        assert self.asked(gateway, limited, 10) == "valid"
        assert self.asked(gateway, limited, "0.000001") == "insufficient_credits"
        assert self.asked(gateway, limited, 1, "free") == "valid"
        assert code(gateway, limited) == "valid"

    def test_limited_key_counts_earlier_spending_when_the_limit_is_set(self, gateway, alice):
        price("search", 1)
        limited = ApiKeyFactory(user=alice)
        paid = charge(None, key_hash=hash_of(limited.raw), units=Decimal(6))
        refund(paid.id, 1)
        charge(alice, units=Decimal(3))
        ApiKey.objects.filter(pk=limited.api_key.pk).update(spending_limit=10)

        assert KeySpending.objects.get().credits == 5
        assert self.asked(gateway, limited, "5.000001") == "insufficient_credits"
        assert self.asked(gateway, limited, 5) == "valid"

    def test_limited_key_counts_its_holds_until_they_expire(self, gateway, limited):
        held(None, None, key_hash=hash_of(limited.raw), credits=Decimal(4))
        held(None, None, key_hash=hash_of(limited.raw), credits=Decimal(3), expires_in_seconds=0)

        assert self.asked(gateway, limited, "6.000001") == "insufficient_credits"
        assert self.asked(gateway, limited, 6) == "valid"

    def test_limited_key_may_spend_refunded_credits_again(self, gateway, limited):
        paid = charge(None, key_hash=hash_of(limited.raw), units=Decimal(10))
        refund(paid.id, 4)

        assert self.asked(gateway, limited, "4.000001") == "insufficient_credits"
        assert self.asked(gateway, limited, 4) == "valid"


@pytest.mark.django_db(transaction=True)
def test_a_verdict_changes_nothing_and_takes_one_statement():
    alice = customer_with(100)
    gateway, key = Gateway(), ApiKeyFactory(user=alice)
    price("search", 1)
    hold(alice, 1, seconds=0)
    verify(gateway, key)
    before = [list(table.objects.order_by("pk").values()) for table in (Balance, Entry, OperationKey, ApiKey)]

    with CaptureQueriesContext(connection) as queries:
        verify(gateway, key, endpoint="search")

    assert len(queries) == 2  # whose the service key is, and the verdict
    assert [list(table.objects.order_by("pk").values()) for table in (Balance, Entry, OperationKey, ApiKey)] == before
    assert ApiKey.objects.get(pk=key.api_key.pk).last_used_at is None
    assert not RequestLog.objects.exists()


@pytest.mark.parametrize(
    ("sent", "field"),
    [
        ({}, "api_key"),
        ({"api_key": None}, "api_key"),
        ({"api_key": 7}, "api_key"),
        ({"api_key": "x", "endpoint": ""}, "endpoint"),
        ({"api_key": "x", "endpoint": "x" * 2_001}, "endpoint"),
        ({"api_key": "x", "units": -1}, "units"),
        ({"api_key": "x", "units": None}, "units"),
        ({"api_key": "x", "method": "G T"}, "method"),
        ({"api_key": "\u0000"}, "api_key"),
    ],
    ids=str,
)
def test_an_invalid_field_is_named(gateway, sent, field):
    answer = gateway.post(PATH, sent, key=None)

    assert refused(answer) == (400, "invalid")
    assert list(answer.json()["errors"]) == [field]


def test_a_customers_own_key_may_not_ask(key):
    own = Gateway(api_key=key.raw)

    assert refused(own.post(PATH, {"api_key": key.raw})) == (403, "scope_missing")
