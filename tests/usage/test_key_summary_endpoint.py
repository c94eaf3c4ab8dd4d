import datetime as dt
from decimal import Decimal

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services.keys.api_keys import IssuedKey, revoke_api_key
from ledger.models import AdjustmentReason
from ledger.services.adjustments.posting import adjust_credits
from ledger.services.holds import open_hold
from tests.account import give, requested
from tests.factories import ApiKeyFactory, ServiceKeyFactory, StaffFactory, UserFactory
from usage.services.charges.calls import AskedCharge
from usage.services.charges.charge import charge_request

pytestmark = pytest.mark.django_db
PATH = "/v2/account/summary"
MISSING = {"detail": "API key is required. Please provide X-API-KEY header.", "code": "api_key_missing"}
INVALID = {"detail": "Invalid API key. Please check your X-API-KEY header.", "code": "api_key_invalid"}


@pytest.fixture
def key() -> IssuedKey:
    return ApiKeyFactory(user=UserFactory(email="user@example.com", full_name="John Doe"))


def get(key: IssuedKey | str):
    return APIClient(headers={"X-API-KEY": key if isinstance(key, str) else key.raw}).get(PATH)


def charge(user: User, credits: str, key: str) -> None:
    charge_request(AskedCharge(user_id=user.pk, endpoint="x", credits=Decimal(credits), idempotency_key=key))


def test_the_example_of_the_documentation(key):
    user = key.api_key.user
    give(user, 1000)
    charge(user, "250", "all")
    now = timezone.now()
    requested(user, [(now, "x", 200)] * 949 + [(now, "x", 500)] * 50, charge=False)

    answer = get(key)

    assert answer.status_code == 200
    assert answer.content == (
        b'{"email":"user@example.com","full_name":"John Doe","total_credits":1000,"credits_used":250,'
        b'"credits_remaining":750,"credits_percentage":25.0,"summary":{"total_requests":1000,'
        b'"successful_requests":950,"failed_requests":50,"success_rate":95.0}}'
    )


def test_a_new_account_divides_by_nothing(key):
    answer = get(key)

    assert b'"credits_percentage":0.0,' in answer.content
    assert b'"success_rate":0.0}' in answer.content


def test_whole_credits_are_what_can_really_be_spent(key):
    user = key.api_key.user
    give(user, "10.9")
    charge(user, "0.5", "a")
    open_hold(user_id=user.pk, credits=Decimal("3.5"), expires_in_seconds=60, idempotency_key="h")

    answer = get(key).json()

    assert (answer["total_credits"], answer["credits_remaining"], answer["credits_used"]) == (10, 6, 4)
    assert answer["credits_percentage"] == 40.0


def test_the_total_is_at_least_what_remains(key):
    user = key.api_key.user
    give(user, "0.6")
    give(user, "0.6")

    assert (get(key).json()["total_credits"], get(key).json()["credits_remaining"]) == (1, 1)


def test_adjustments_change_the_total_and_are_not_used(key):
    user = key.api_key.user
    give(user, 10)
    adjust_credits(
        user_id=user.pk,
        amount=Decimal(-4),
        reason=AdjustmentReason.CORRECTION,
        note="too many",
        actor_id=StaffFactory().pk,
        idempotency_key="a",
    )

    answer = get(key).json()

    assert (answer["total_credits"], answer["credits_used"], answer["credits_percentage"]) == (6, 0, 0)


def test_a_percentage_is_100_only_when_exact(key):
    user = key.api_key.user
    give(user, 100_000)
    charge(user, "99999", "a")

    almost = get(key)
    charge(user, "1", "b")
    exactly = get(key)

    assert b'"credits_percentage":99.99,' in almost.content.replace(b"100.0", b"wrong")
    assert b'"credits_percentage":100.0,' in exactly.content


def test_the_call_itself_is_free_and_not_counted(key):
    give(key.api_key.user, 10)

    get(key)
    answer = get(key).json()

    assert (answer["credits_remaining"], answer["summary"]["total_requests"]) == (10, 0)


def test_without_a_key_it_says_which_header_is_missing():
    answer = APIClient().get(PATH)

    assert (answer.status_code, answer.json()) == (401, MISSING)
    assert "WWW-Authenticate" in answer.headers


def test_a_key_in_the_query_string_is_never_read(key):
    answer = APIClient().get(PATH, {"api_key": key.raw, "X-API-KEY": key.raw})

    assert (answer.status_code, answer.json()) == (401, MISSING)


def test_a_token_is_not_accepted_as_a_key(key):
    answer = APIClient(headers={"Authorization": f"Bearer {key.raw}"}).get(PATH)

    assert (answer.status_code, answer.json()) == (401, MISSING)


@pytest.mark.parametrize("raw", ["nonsense", "tb_live_", "x" * 10_000, "tb_live_" + "0" * 51, "é" * 20])
def test_an_invalid_key_is_refused(raw):
    answer = get(raw)

    assert (answer.status_code, answer.json()) == (401, INVALID)


def test_a_mistyped_key_is_refused_without_asking_the_database(key, django_assert_num_queries):
    mistyped = key.raw[:-1] + ("0" if key.raw[-1] != "0" else "1")
    get(mistyped)  # leases the minute's calls of this address

    with django_assert_num_queries(0):
        answer = get(mistyped)

    assert answer.json() == INVALID


def test_a_revoked_key_is_refused(key):
    revoke_api_key(prefix=key.api_key.prefix, now=timezone.now())

    assert get(key).json() == INVALID


def test_an_expired_key_is_refused():
    now = timezone.now()
    expired = ApiKeyFactory(now=now - dt.timedelta(days=2), expires_at=now - dt.timedelta(seconds=1))

    assert get(expired).json() == INVALID


def test_the_key_of_a_deactivated_customer_is_refused(key):
    user = key.api_key.user
    user.is_active = False
    user.save()

    assert get(key).json() == INVALID


def test_a_service_key_has_no_account_to_read():
    answer = get(ServiceKeyFactory())

    assert (answer.status_code, answer.json()["code"]) == (403, "scope_missing")


def test_a_strangers_key_shows_the_strangers_account(key):
    give(key.api_key.user, 100)
    stranger = ApiKeyFactory()

    assert get(stranger).json()["email"] == stranger.api_key.user.email
    assert get(stranger).json()["total_credits"] == 0


def test_use_is_noted_to_the_minute(key):
    get(key)

    key.api_key.refresh_from_db()
    assert timezone.now() - key.api_key.last_used_at < dt.timedelta(minutes=1)
