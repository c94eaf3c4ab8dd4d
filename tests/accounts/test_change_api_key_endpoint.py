import datetime as dt
import json
from decimal import Decimal

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.models import ApiKey, User
from accounts.services.keys.api_keys import IssuedKey, revoke_api_key
from accounts.services.keys.limits import KeyLimits
from tests.account import client_of
from tests.factories import ApiKeyFactory, ServiceKeyFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
PATH = "/auth/account/api-keys"
LIMITS = {"rate_limit_per_minute": 60, "spending_limit": 12.5, "spending_reset_day": 31}
UNLIMITED = {"rate_limit_per_minute": None, "spending_limit": None, "spending_reset_day": 1}


@pytest.fixture
def alice() -> User:
    return UserFactory()


@pytest.fixture
def key(alice) -> IssuedKey:
    return ApiKeyFactory(user=alice, name="laptop")


def change(user: User, key: IssuedKey | int, **body: object):
    number = key if isinstance(key, int) else key.api_key.pk
    return client_of(user).patch(f"{PATH}/{number}", json.dumps(body), content_type="application/json")


def shown(user: User) -> dict:
    (one,) = client_of(user).get(PATH).json()["results"]
    return one


def limits(shown: dict) -> dict:
    return {name: shown[name] for name in LIMITS}


def terms(shown: dict) -> dict:
    """Leave out what follows from the limit and its day (tests/usage/test_key_standing.py)."""
    return {name: value for name, value in shown.items() if name not in {"spent", "resets_at"}}


def test_a_key_is_made_with_limits_and_shows_them(alice):
    made = client_of(alice).post(PATH, {"name": "x", **LIMITS}, format="json").json()

    row = ApiKey.objects.get()
    assert limits(made) == limits(shown(alice)) == LIMITS
    assert (row.rate_limit_per_minute, row.spending_limit, row.spending_reset_day) == (60, Decimal("12.5"), 31)


def test_a_key_has_no_limits_of_its_own_unless_they_are_asked(alice, key):
    made = client_of(alice).post(PATH, {"name": "x", "spending_limit": None, "rate_limit_per_minute": None}).json()

    assert limits(made) == limits(client_of(alice).get(PATH).json()["results"][1]) == UNLIMITED


def test_csv_has_the_limits_too(alice):
    ApiKeyFactory(user=alice, limits=KeyLimits(60, Decimal("12.5"), 31))

    header, row = b"".join(client_of(alice).get(PATH, {"format": "csv"})).decode().splitlines()

    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert [cells[name] for name in LIMITS] == ["60", "12.5", "31"]


def test_everything_that_may_be_changed_is_changed_at_once(alice, key):
    answer = change(alice, key, name=" server ", **LIMITS)

    assert answer.status_code == 200
    assert answer.json() == shown(alice)
    assert (answer.json()["name"], limits(answer.json())) == ("server", LIMITS)


@pytest.mark.parametrize(
    ("body", "changed"),
    [
        ({}, {}),
        ({"name": "server"}, {"name": "server"}),
        ({"rate_limit_per_minute": None}, {"rate_limit_per_minute": None}),
        ({"spending_limit": None}, {"spending_limit": None}),
        ({"spending_limit": "0.000001"}, {"spending_limit": 0.000001}),
        ({"spending_reset_day": 1}, {"spending_reset_day": 1}),
        ({"scopes": ["metering"], "expires_at": None, "status": "revoked", "user_id": 1, "key_hash": "x"}, {}),
    ],
)
def test_fields_that_are_not_sent_stay_as_they_were(alice, key, body, changed):
    change(alice, key, **LIMITS)
    before = shown(alice)

    answer = change(alice, key, **body)

    assert answer.status_code == 200
    assert terms(shown(alice)) == terms(before) | changed


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *(("name", value) for value in (None, "", "   ", "x" * 101, "a\x00b", ["x"])),
        *(("rate_limit_per_minute", value) for value in (0, -1, 1.5, "60", True, 6_001, 10**30)),
        *(("spending_limit", value) for value in (0, -1, "0", "-0.5", 0.0000001, "1e3", True, [], "", 10**9, "NaN")),
        *(("spending_reset_day", value) for value in (0, 32, -1, 1.5, "1", None, True, 10**30)),
    ],
)
def test_an_invalid_value_is_refused_by_field_and_changes_nothing(alice, key, field, value):
    before = shown(alice)

    answer = change(alice, key, **{"name": "other", field: value})
    made = client_of(alice).post(PATH, json.dumps({"name": "x", field: value}), content_type="application/json")

    assert (answer.status_code, list(answer.json()["errors"])) == (400, [field])
    assert (made.status_code, list(made.json()["errors"])) == (400, [field])
    assert shown(alice) == before


def test_a_rate_set_by_staff_stays_but_cannot_be_set_again_by_the_customer(alice, settings):
    settings.RATE_LIMIT_PER_KEY = 100
    key = ApiKeyFactory(user=alice, limits=KeyLimits(rate_limit_per_minute=500))

    statuses = [
        change(alice, key, name="renamed").status_code,
        change(alice, key, rate_limit_per_minute=500).status_code,
        change(alice, key, rate_limit_per_minute=501).status_code,
        change(alice, key, rate_limit_per_minute=100).status_code,
        change(alice, key, rate_limit_per_minute=500).status_code,
    ]

    assert statuses == [200, 200, 400, 200, 400]
    assert shown(alice)["rate_limit_per_minute"] == 100


def test_a_key_that_no_longer_works_is_not_changed(alice, key):
    now = timezone.now()
    ended = ApiKeyFactory(user=alice, now=now - dt.timedelta(days=1), expires_at=now)
    revoke_api_key(prefix=key.api_key.prefix, now=now)

    answers = [change(alice, key, name="x"), change(alice, ended, name="x")]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (409, "api_key_revoked"),
        (409, "api_key_expired"),
    ]
    assert not ApiKey.objects.filter(name="x").exists()


def test_a_key_of_another_customer_or_of_a_service_is_not_changed(alice, key):
    service = ServiceKeyFactory()

    for other in (UserFactory(), StaffFactory(is_superuser=True)):
        refusals = [change(other, key, name="x"), change(other, service, name="x"), change(other, 999_999, name="x")]
        assert [answer.status_code for answer in refusals] == [404] * 3
        assert len({answer.content for answer in refusals}) == 1
    assert not ApiKey.objects.filter(name="x").exists()


def test_a_rotated_key_hands_its_limits_on(alice):
    key = ApiKeyFactory(user=alice, limits=KeyLimits(60, Decimal("12.5"), 31))

    made = client_of(alice).post(f"{PATH}/{key.api_key.pk}/rotate").json()

    assert limits(made) == LIMITS


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({"spending_limit": 0}, "spending_limit_of_a_key_is_positive"),
        ({"spending_limit": -1}, "spending_limit_of_a_key_is_positive"),
        ({"user": None, "scopes": ["metering"], "spending_limit": 1}, "only_customers_keys_have_a_spending_limit"),
        ({"spending_reset_day": 0}, "spending_starts_anew_on_a_day_of_the_month"),
        ({"spending_reset_day": 32}, "spending_starts_anew_on_a_day_of_the_month"),
    ],
)
def test_the_database_insists_on_limits_that_make_sense(alice, fields, constraint):
    made = {"user": alice, "name": "x", "prefix": "x" * 12, "last4": "x", "key_hash": b"x", "scopes": ["account:read"]}

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        ApiKey.objects.create(**made | fields)


def test_the_document_names_every_answer(client):
    changing = client.get("/api/schema?format=json").json()["paths"][f"{PATH}/{{id}}"]["patch"]

    assert set(changing["responses"]) >= {"200", "400", "401", "404", "409", "429"}
