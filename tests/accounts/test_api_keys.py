import datetime as dt
import threading

import pytest
from django.db import IntegrityError, connection, transaction

from accounts import key_format
from accounts.errors import ApiKeyInvalid, ApiKeyMissing, ApiKeyNotFound, ApiKeyRefused
from accounts.models import ApiKey, Scope
from accounts.services.keys.api_keys import (
    authenticate_api_key,
    issue_api_key,
    issue_service_key,
    revoke_api_key,
)
from tests.factories import ApiKeyFactory, ServiceKeyFactory, UserFactory

pytestmark = pytest.mark.django_db
SECOND = dt.timedelta(seconds=1)


def test_only_the_hash_of_a_new_key_is_stored(now):
    user = UserFactory()

    issued = issue_api_key(user=user, name=" laptop ", scopes=["account:read"], now=now)

    stored = ApiKey.objects.get()
    assert (stored.user, stored.name, stored.scopes, stored.created_at) == (user, "laptop", ["account:read"], now)
    assert stored.prefix == issued.raw[8:20]
    assert stored.last4 == issued.raw[-4:]
    assert bytes(stored.key_hash) == key_format.hash_of(issued.raw)
    secret = issued.raw[21:53]
    assert not any(secret in str(value) for value in ApiKey.objects.values().get().values())


def test_a_customer_cannot_have_a_key_that_meters(now):
    with pytest.raises(ApiKeyRefused, match="metering is not for a customer's key"):
        issue_api_key(user=UserFactory(), name="laptop", scopes=["account:read", "metering"], now=now)

    assert not ApiKey.objects.exists()


def test_a_service_key_has_no_account_to_read(now):
    with pytest.raises(ApiKeyRefused, match="account:read is not for a service key"):
        issue_service_key(name="gateway", scopes=["account:read"], now=now)


@pytest.mark.parametrize(
    ("scopes", "sentence"),
    [(["account:write"], "no scope 'account:write'"), ([], "at least one scope")],
)
def test_scopes_that_do_not_exist_are_refused(now, scopes, sentence):
    with pytest.raises(ApiKeyRefused, match=sentence):
        issue_service_key(name="gateway", scopes=scopes, now=now)


@pytest.mark.parametrize("name", ["", "  ", "x" * 101])
def test_a_key_needs_a_name_that_fits(now, name):
    with pytest.raises(ApiKeyRefused, match="name"):
        issue_service_key(name=name, scopes=["metering"], now=now)


def test_a_key_that_would_have_expired_already_is_refused(now):
    with pytest.raises(ApiKeyRefused, match="expired"):
        issue_service_key(name="gateway", scopes=["metering"], now=now, expires_at=now)


@pytest.mark.parametrize(
    ("of_customer", "scopes", "constraint"),
    [
        (True, [Scope.METERING], "only_service_keys_may_meter"),
        (False, [Scope.ACCOUNT_READ], "service_keys_have_no_account_to_read"),
        (True, [], "api_key_has_a_scope"),
    ],
)
def test_the_database_insists_on_the_scopes(of_customer, scopes, constraint):
    user = UserFactory() if of_customer else None

    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        ApiKey.objects.create(user=user, name="x", prefix="x" * 12, last4="xxxx", key_hash=b"x", scopes=scopes)


def test_a_live_key_is_recognised_by_one_query(now, django_assert_num_queries):
    issued = ApiKeyFactory()
    ApiKey.objects.update(last_used_at=now)

    with django_assert_num_queries(1):
        api_key = authenticate_api_key(issued.raw, now=now)
        assert api_key.user == issued.api_key.user


@pytest.mark.parametrize("nothing", [None, ""])
def test_a_missing_key_and_a_wrong_one_have_different_errors(now, nothing):
    with pytest.raises(ApiKeyMissing):
        authenticate_api_key(nothing, now=now)


@pytest.mark.parametrize("text", ["x", "tb_live_", "é" * 59, "\udcff", "\0", "x" * 10_000])
def test_a_malformed_key_is_refused_without_a_query(now, text, django_assert_num_queries):
    with django_assert_num_queries(0), pytest.raises(ApiKeyInvalid):
        authenticate_api_key(text, now=now)


def test_an_unknown_key_is_refused(now):
    with pytest.raises(ApiKeyInvalid):
        authenticate_api_key(key_format.make_key(), now=now)


def test_a_key_is_good_until_just_before_it_expires(now):
    issued = ServiceKeyFactory(now=now - SECOND, expires_at=now)

    assert authenticate_api_key(issued.raw, now=now - SECOND).pk == issued.api_key.pk
    with pytest.raises(ApiKeyInvalid):
        authenticate_api_key(issued.raw, now=now)


def test_a_revoked_key_is_refused(now):
    issued = ApiKeyFactory()
    revoke_api_key(prefix=issued.api_key.prefix, now=now)

    with pytest.raises(ApiKeyInvalid):
        authenticate_api_key(issued.raw, now=now)


def test_the_key_of_a_deactivated_customer_is_refused(now):
    issued = ApiKeyFactory(user__is_active=False)

    with pytest.raises(ApiKeyInvalid):
        authenticate_api_key(issued.raw, now=now)


def test_revoking_twice_keeps_the_first_time(now):
    issued = ApiKeyFactory()
    revoke_api_key(prefix=issued.api_key.prefix, now=now)

    again = revoke_api_key(prefix="tb_live_" + issued.api_key.prefix, now=now + SECOND)

    assert again.revoked_at == now


@pytest.mark.parametrize("prefix", ["", "tb_live_", "unknown"])
def test_revoking_an_unknown_key_is_refused(now, prefix):
    ApiKeyFactory()

    with pytest.raises(ApiKeyNotFound):
        revoke_api_key(prefix=prefix, now=now)

    assert not ApiKey.objects.exclude(revoked_at=None).exists()


def test_the_last_use_is_kept_to_the_minute(now):
    issued = ApiKeyFactory()

    uses = []
    for seconds in (0, 59, 60):
        authenticate_api_key(issued.raw, now=now + seconds * SECOND)
        uses.append(ApiKey.objects.get().last_used_at)

    assert uses == [now, now, now + 60 * SECOND]


@pytest.mark.django_db(transaction=True)
def test_recording_the_use_never_waits(now):
    issued = ApiKeyFactory()
    locked, done = threading.Event(), threading.Event()

    def hold_the_row():
        with transaction.atomic():
            ApiKey.objects.select_for_update().get()
            locked.set()
            done.wait(timeout=10)
        connection.close()

    holder = threading.Thread(target=hold_the_row)
    holder.start()
    locked.wait(timeout=10)

    began = dt.datetime.now(dt.UTC)
    api_key = authenticate_api_key(issued.raw, now=now)
    took = dt.datetime.now(dt.UTC) - began
    done.set()
    holder.join()

    assert took < 2 * SECOND
    assert api_key.pk == issued.api_key.pk
    assert ApiKey.objects.get().last_used_at is None
