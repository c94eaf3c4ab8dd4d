"""API keys in the back office: found, and revoked after a confirmation."""

import datetime as dt

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey
from tests.backoffice import list_of, page_of, rows_of, signed_in, staff_with, superuser
from tests.factories import ApiKeyFactory, ServiceKeyFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/accounts/apikey/"


def revoke(*keys, **more):
    return {"action": "revoke", "_selected_action": [str(key.pk) for key in keys], **more}


@pytest.fixture
def client():
    return signed_in(staff_with("accounts.view_apikey", "accounts.change_apikey", "accounts.issue_service_key"))


@pytest.fixture
def key():
    return ApiKeyFactory(user=UserFactory(email="alice@example.com"), name="laptop").api_key


def test_a_key_is_shown_by_its_public_parts(client, key):
    for address in (LIST, page_of("accounts_apikey", key.pk)):
        said = client.get(address).content.decode()

        for text in (f"tb_live_{key.prefix}…{key.last4}", "alice@example.com", "laptop", "account:read", "Live"):
            assert text in said


@pytest.mark.parametrize("term", ["{prefix}", "tb_live_{prefix}", "{key}", "alice@example.com", "lapt"])
def test_a_key_is_found_by(client, key, term):
    issued = ApiKeyFactory(user=key.user, name="lapt")
    ServiceKeyFactory()
    given = term.format(prefix=issued.api_key.prefix, key=issued.raw)

    answer = client.post(LIST, {"q": given}, follow=True)

    assert issued.api_key in rows_of(answer)
    assert all(row.user_id is not None for row in rows_of(answer))
    assert issued.raw not in str(answer.redirect_chain)


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({}, "Live"),
        ({"expires_at": timezone.now() - dt.timedelta(days=1)}, "Expired"),
        ({"expires_at": timezone.now() + dt.timedelta(days=1)}, "Live"),
        ({"revoked_at": timezone.now()}, "Revoked"),
    ],
)
def test_the_status_says_whether_a_key_works(client, key, change, status):
    ApiKey.objects.filter(pk=key.pk).update(**change)

    said = client.get(page_of("accounts_apikey", key.pk)).content.decode()
    listed = {name: rows_of(client.get(f"{LIST}?status={name}")) for name in ("live", "expired", "revoked")}

    assert f'<div class="readonly">{status}</div>' in said
    assert listed == {name: [key] if name == status.lower() else [] for name in listed}


def test_a_key_of_a_deactivated_owner_is_shown_as_such(client, key):
    key.user.is_active = False
    key.user.save()

    assert "Owner deactivated" in client.get(LIST).content.decode()


def test_revoking_asks_first(client, key):
    answer = client.post(LIST, revoke(key))

    key.refresh_from_db()
    said = answer.content.decode()
    assert str(key) in said
    assert "Yes, revoke" in said
    assert key.revoked_at is None


def test_a_confirmed_revocation_is_final_and_in_the_staff_log(client, key):
    other = ApiKeyFactory().api_key

    answer = client.post(LIST, revoke(key, confirmed="yes"), follow=True)

    key.refresh_from_db()
    other.refresh_from_db()
    assert key.revoked_at is not None
    assert other.revoked_at is None
    assert f"Revoked: {key}" in answer.content.decode()
    assert LogEntry.objects.get().object_id == str(key.pk)


def test_revoking_again_changes_nothing(client, key):
    client.post(LIST, revoke(key, confirmed="yes"))
    revoked_at = ApiKey.objects.get().revoked_at

    answer = client.post(LIST, revoke(key, confirmed="yes"), follow=True)

    assert ApiKey.objects.get().revoked_at == revoked_at
    assert "none, all were revoked before" in answer.content.decode()
    assert LogEntry.objects.count() == 1


def test_a_service_key_is_revoked_likewise(client):
    key = ServiceKeyFactory().api_key

    client.post(LIST, revoke(key, confirmed="yes"))

    key.refresh_from_db()
    assert key.revoked_at is not None


def test_revoking_is_refused_when_staff_may_only_view(key):
    client = signed_in(staff_with("accounts.view_apikey"))

    assert "Revoke…" not in client.get(page_of("accounts_apikey", key.pk)).content.decode()
    assert client.post(LIST, revoke(key, confirmed="yes")).status_code == 403
    key.refresh_from_db()
    assert key.revoked_at is None


def test_the_page_of_a_key_offers_to_revoke_it_while_it_works(client, key):
    address = page_of("accounts_apikey", key.pk)

    before = client.get(address).content.decode()
    client.post(LIST, revoke(key, confirmed="yes"))

    assert "Revoke…" in before
    assert "Revoke…" not in client.get(address).content.decode()


def test_keys_are_neither_issued_nor_edited_nor_deleted_here(key):
    client = signed_in(superuser())

    codes = [
        client.post(reverse("admin:accounts_apikey_add"), {"name": "x"}).status_code,
        client.post(page_of("accounts_apikey", key.pk), {"name": "x", "scopes": "metering"}).status_code,
        client.post(reverse("admin:accounts_apikey_delete", args=[key.pk]), {"post": "yes"}).status_code,
        client.post(list_of("accounts_apikey"), revoke(key, action="delete_selected", post="yes")).status_code,
    ]

    assert codes == [403, 403, 403, 403]
    assert ApiKey.objects.get().name == "laptop"


@pytest.mark.parametrize("lookup", ["key_hash", "key_hash__startswith", "user__password__startswith"])
def test_no_address_filters_by_a_hash(client, key, lookup):
    assert client.get(LIST, {lookup: "x"}).status_code == 400
