import datetime as dt
import json

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.errors import ApiKeyInvalid, ApiKeyReplaced, TokenInvalid, TooManyApiKeys
from accounts.models import ApiKey, User
from accounts.services.keys.api_keys import IssuedKey, authenticate_api_key, revoke_api_key
from accounts.services.keys.limits import KeyLimits
from accounts.services.keys.own_keys import create_own_key, rotate_own_key
from tests.account import client_of
from tests.accounts.races import at_once
from tests.factories import ApiKeyFactory, ServiceKeyFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
PATH = "/auth/account/api-keys"
SECOND, DAY = dt.timedelta(seconds=1), dt.timedelta(days=1)


@pytest.fixture
def alice() -> User:
    return UserFactory()


@pytest.fixture
def key(alice) -> IssuedKey:
    return ApiKeyFactory(user=alice, name="laptop")


def rotate(user: User, key: IssuedKey | int, **body: object):
    number = key if isinstance(key, int) else key.api_key.pk
    return client_of(user).post(f"{PATH}/{number}/rotate", json.dumps(body), content_type="application/json")


def works(raw: str, at: dt.datetime) -> bool:
    try:
        authenticate_api_key(raw, now=at)
    except ApiKeyInvalid:
        return False
    return True


def test_the_new_key_takes_over_and_the_old_one_works_until_the_grace_is_over(alice, key):
    answer = rotate(alice, key, grace_period_seconds=3600)

    made, old = answer.json(), ApiKey.objects.get(pk=key.api_key.pk)
    assert answer.status_code == 201
    assert (made["name"], made["scopes"], made["expires_at"]) == ("laptop", ["account:read"], None)
    assert made["replaces"] == old.pk
    ends_at = ApiKey.objects.get(pk=made["id"]).created_at + 3600 * SECOND
    assert old.expires_at == ends_at
    assert works(made["key"], ends_at)
    assert works(key.raw, ends_at - SECOND)
    assert not works(key.raw, ends_at)
    shown = {each["id"]: each for each in client_of(alice).get(PATH).json()["results"]}
    assert (shown[old.pk]["replaced_by"], shown[made["id"]]["replaced_by"]) == (made["id"], None)


def test_the_grace_is_a_day_by_default(alice, key):
    made = client_of(alice).post(f"{PATH}/{key.api_key.pk}/rotate").json()

    new, old = ApiKey.objects.get(pk=made["id"]), ApiKey.objects.get(pk=key.api_key.pk)
    assert old.expires_at == new.created_at + DAY


def test_without_grace_the_old_key_ends_at_once(alice, key):
    made = rotate(alice, key, grace_period_seconds=0).json()

    assert not works(key.raw, timezone.now())
    assert works(made["key"], timezone.now())


def test_a_key_with_an_end_is_followed_by_one_of_the_same_length_and_gains_no_time_itself(alice):
    now = timezone.now()
    key = ApiKeyFactory(user=alice, now=now - 29 * DAY, expires_at=now + DAY)

    made = rotate(alice, key, grace_period_seconds=604_800).json()

    new, old = ApiKey.objects.get(pk=made["id"]), ApiKey.objects.get(pk=key.api_key.pk)
    assert old.expires_at == now + DAY
    assert new.expires_at - new.created_at == 30 * DAY


def test_the_new_key_has_the_limits_of_the_old_one_even_those_that_staff_alone_could_give(alice, settings):
    settings.RATE_LIMIT_PER_KEY = 10
    key = ApiKeyFactory(user=alice, limits=KeyLimits(rate_limit_per_minute=50))

    assert rotate(alice, key).json()["rate_limit_per_minute"] == 50


def test_a_key_is_rotated_once_and_then_its_successor_is(alice, key):
    first = rotate(alice, key).json()

    again = rotate(alice, key)
    later = rotate(alice, first["id"])

    assert (again.status_code, again.json()["code"], again.json()["replaced_by"]) == (
        409,
        "api_key_replaced",
        first["id"],
    )
    assert later.status_code == 201
    assert ApiKey.objects.count() == 3


def test_a_key_that_no_longer_works_has_no_successor(alice, key):
    now = timezone.now()
    ended = ApiKeyFactory(user=alice, now=now - DAY, expires_at=now)
    revoke_api_key(prefix=key.api_key.prefix, now=now)

    answers = [rotate(alice, key), rotate(alice, ended)]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [
        (409, "api_key_revoked"),
        (409, "api_key_expired"),
    ]
    assert ApiKey.objects.count() == 2


def test_at_the_limit_a_key_is_rotated_without_grace_only(alice, key, settings):
    settings.API_KEYS_PER_CUSTOMER = 1

    refused, before = rotate(alice, key, grace_period_seconds=1), works(key.raw, timezone.now())
    taken = rotate(alice, key, grace_period_seconds=0)

    assert (refused.status_code, refused.json()["code"], before) == (409, "api_key_limit_reached", True)
    assert taken.status_code == 201


@pytest.mark.parametrize("grace", [-1, 604_801, "60", 1.5, True, None, [], "", 10**99])
def test_an_invalid_grace_is_refused_by_name(alice, key, grace):
    answer = rotate(alice, key, grace_period_seconds=grace)

    assert (answer.status_code, list(answer.json()["errors"])) == (400, ["grace_period_seconds"])
    assert ApiKey.objects.count() == 1


def test_a_key_of_another_customer_or_of_a_service_is_not_rotated(alice, key):
    service = ServiceKeyFactory()

    for other in (UserFactory(), StaffFactory(is_superuser=True)):
        refusals = [rotate(other, key), rotate(other, service), rotate(other, 999_999)]
        assert [answer.json() for answer in refusals] == [{"detail": "Not found.", "code": "not_found"}] * 3
    assert ApiKey.objects.count() == 2
    assert works(key.raw, timezone.now())


def test_a_customer_who_was_deactivated_meanwhile_gets_no_key(alice, key):
    User.objects.filter(pk=alice.pk).update(is_active=False)

    with pytest.raises(TokenInvalid):
        rotate_own_key(user_id=alice.pk, key_id=key.api_key.pk, grace=DAY, now=timezone.now())
    with pytest.raises(TokenInvalid):
        create_own_key(user_id=alice.pk, name="x", scopes=["account:read"], now=timezone.now())


@pytest.mark.parametrize(
    ("fields", "constraint"),
    [
        ({}, "a_key_is_replaced_once"),
        ({"user": None, "scopes": ["metering"]}, "only_customers_keys_are_rotated"),
        ({"original": None}, "a_key_that_replaces_another_knows_the_original"),
        ({"replaces": None}, "a_key_that_replaces_another_knows_the_original"),
    ],
)
def test_the_database_insists_on_one_successor_that_knows_where_the_chain_began(alice, key, fields, constraint):
    rotate(alice, key)
    made = {"user": alice, "name": "x", "prefix": "x" * 12, "last4": "x", "key_hash": b"x", "scopes": ["account:read"]}

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        ApiKey.objects.create(**made | {"replaces": key.api_key, "original": key.api_key} | fields)


def test_every_key_of_a_chain_knows_the_first(alice, key):
    second = rotate(alice, key).json()["id"]
    third = rotate(alice, second).json()["id"]

    originals = dict(ApiKey.objects.values_list("pk", "original_id"))
    assert originals == {key.api_key.pk: None, second: key.api_key.pk, third: key.api_key.pk}


@pytest.mark.django_db(transaction=True)
def test_one_of_many_concurrent_rotations_wins(alice, key):
    now = timezone.now()

    outcomes = at_once(8, lambda: rotate_own_key(user_id=alice.pk, key_id=key.api_key.pk, grace=DAY, now=now))

    winners = [outcome for outcome in outcomes if isinstance(outcome, IssuedKey)]
    assert len(winners) == 1
    assert {type(outcome) for outcome in outcomes if outcome not in winners} == {ApiKeyReplaced}
    assert ApiKey.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_keys_made_at_once_never_exceed_the_limit(alice, settings):
    settings.API_KEYS_PER_CUSTOMER = 3

    outcomes = at_once(
        8, lambda: create_own_key(user_id=alice.pk, name="x", scopes=["account:read"], now=timezone.now())
    )

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["IssuedKey"] * 3 + [TooManyApiKeys.__name__] * 5
    assert ApiKey.objects.count() == 3
