"""The header `X-API-KEY`, on views that require a key."""

import datetime as dt

import pytest
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import User
from accounts.services.keys.api_keys import revoke_api_key
from tests.factories import ApiKeyFactory, ServiceKeyFactory

pytestmark = [pytest.mark.django_db, pytest.mark.urls("tests.accounts.key_views")]
MISSING = {"detail": "API key is required. Please provide X-API-KEY header.", "code": "api_key_missing"}
INVALID = {"detail": "Invalid API key. Please check your X-API-KEY header.", "code": "api_key_invalid"}


def call(path, key=None, **extra):
    return APIClient().get(path, headers={} if key is None else {"X-API-KEY": key}, **extra)


def test_a_customers_key_speaks_for_the_customer():
    issued = ApiKeyFactory()

    answer = call("/read", issued.raw)

    assert answer.status_code == 200
    assert answer.json() == {"email": issued.api_key.user.email, "key": issued.api_key.prefix}


def test_a_service_key_has_no_user():
    issued = ServiceKeyFactory()

    answer = call("/meter", issued.raw)

    assert answer.json() == {"user": None, "key": issued.api_key.prefix}


@pytest.mark.parametrize("path", ["/read", "/meter"])
def test_a_call_without_a_key_is_refused_with_its_own_sentence(path):
    answer = call(path)

    assert (answer.status_code, answer.json()) == (401, MISSING)
    assert answer["WWW-Authenticate"].startswith("ApiKey")


@pytest.mark.parametrize(
    "text", ["", "x", "tb_live_", "é" * 60, "x" * 10_000, "\udcff\udcfe", "a b", "null", "tb_live_\0"]
)
def test_text_that_is_no_key_is_refused(text):
    answer = APIClient().get("/read", HTTP_X_API_KEY=text)

    assert (answer.status_code, answer.json()) == (401, INVALID if text else MISSING)


def test_expired_revoked_and_deactivated_look_alike():
    expired = ApiKeyFactory(now=timezone.now() - dt.timedelta(days=2), expires_at=timezone.now() - dt.timedelta(days=1))
    revoked = ApiKeyFactory()
    revoke_api_key(prefix=revoked.api_key.prefix, now=timezone.now())
    deactivated = ApiKeyFactory()
    User.objects.filter(pk=deactivated.api_key.user_id).update(is_active=False)

    for issued in (expired, revoked, deactivated):
        answer = call("/read", issued.raw)

        assert (answer.status_code, answer.json()) == (401, INVALID)


@pytest.mark.parametrize(("factory", "path"), [(ApiKeyFactory, "/meter"), (ServiceKeyFactory, "/read")])
def test_a_key_without_the_scope_is_refused(factory, path):
    answer = call(path, factory().raw)

    assert answer.status_code == 403
    assert answer.json()["code"] == "scope_missing"


def test_a_key_in_the_query_string_or_as_a_bearer_is_never_read():
    issued = ApiKeyFactory()

    for name in ("api_key", "X-API-KEY", "x_api_key", "key"):
        assert call(f"/read?{name}={issued.raw}").json() == MISSING
    assert call("/read", HTTP_AUTHORIZATION=f"Bearer {issued.raw}").json() == MISSING
    assert call("/read", HTTP_COOKIE=f"X-API-KEY={issued.raw}").json() == MISSING


def test_a_session_of_the_back_office_is_no_key(admin_user):
    client = APIClient()
    client.force_login(admin_user)

    assert client.get("/read").json() == MISSING
