"""API keys in the back office: found, and revoked after a confirmation."""

import datetime as dt

import pytest
from django.contrib.admin.models import LogEntry
from django.urls import reverse
from django.utils import timezone

from accounts.models import ApiKey
from tests.backoffice import list_of, new_form, page_of, rows_of, signed_in, staff_log_of, staff_with, superuser
from tests.factories import ApiKeyFactory, ServiceKeyFactory, UserFactory

pytestmark = pytest.mark.django_db
LIST = "/admin/accounts/apikey/"


REVOKE = "accounts.revoke_apikey"


def revoke(*keys, **more):
    return {"action": "revoke", "_selected_action": [str(key.pk) for key in keys], **more}


def confirmed(*keys, **more):
    return revoke(*keys, confirmed="yes", **new_form("It leaked."), **more)


def revoke_url(key):
    return reverse("admin:accounts_apikey_revoke", args=[key.pk])


@pytest.fixture
def client():
    return signed_in(staff_with("accounts.view_apikey", REVOKE, "accounts.issue_service_key"))


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

    answer = client.post(LIST, confirmed(key), follow=True)

    key.refresh_from_db()
    other.refresh_from_db()
    assert key.revoked_at is not None
    assert other.revoked_at is None
    assert f"Revoked: {key}" in answer.content.decode()
    logged = LogEntry.objects.get()
    assert (logged.object_id, logged.change_message) == (str(key.pk), "Revoked. Reason: It leaked.")


def test_revoking_again_changes_nothing(client, key):
    client.post(LIST, confirmed(key))
    revoked_at = ApiKey.objects.get().revoked_at

    answer = client.post(LIST, confirmed(key), follow=True)

    assert ApiKey.objects.get().revoked_at == revoked_at
    assert "All of these keys were revoked before" in answer.content.decode()
    assert LogEntry.objects.count() == 1


def test_a_service_key_is_revoked_likewise(client):
    key = ServiceKeyFactory().api_key

    client.post(LIST, confirmed(key))

    key.refresh_from_db()
    assert key.revoked_at is not None


@pytest.mark.parametrize("more", [(), ("accounts.change_apikey",)])
def test_revoking_is_a_permission_of_its_own(key, more):
    client = signed_in(staff_with("accounts.view_apikey", *more))

    assert "Revoke…" not in client.get(page_of("accounts_apikey", key.pk)).content.decode()
    assert client.post(LIST, confirmed(key)).status_code == 403
    assert client.post(revoke_url(key), new_form()).status_code == 403
    key.refresh_from_db()
    assert key.revoked_at is None


def test_the_page_of_a_key_offers_to_revoke_it_while_it_works(client, key):
    address = page_of("accounts_apikey", key.pk)

    before = client.get(address).content.decode()
    client.post(LIST, confirmed(key))

    assert "Revoke…" in before
    assert "Revoke…" not in client.get(address).content.decode()


def test_a_key_is_revoked_on_its_own_page_with_a_reason_and_a_preview(client, key):
    form = new_form("It leaked.")

    preview = client.post(revoke_url(key), form | {"step": "preview"})
    key.refresh_from_db()
    untouched = key.revoked_at
    client.post(revoke_url(key), form)

    key.refresh_from_db()
    assert preview.context["preview"] == [(str(key), "“laptop”, last used –")]
    assert untouched is None
    assert key.revoked_at is not None
    assert staff_log_of(key) == [f"Revoked ({key}: “laptop”, last used –). Reason: It leaked."]


def test_all_keys_of_a_customer_are_revoked_at_once_and_no_other(key):
    client = signed_in(staff_with("accounts.view_user", REVOKE))
    second, foreign = ApiKeyFactory(user=key.user).api_key, ApiKeyFactory().api_key
    address = reverse("admin:accounts_user_revoke_keys", args=[key.user_id])
    assert address in client.get(page_of("accounts_user", key.user_id)).content.decode()

    answers = [client.post(address, new_form("Stolen laptop"), follow=True) for _ in range(2)]

    assert set(ApiKey.objects.filter(revoked_at__isnull=False)) == {key, second}
    assert foreign.revoked_at is None
    assert staff_log_of(second) == ["Revoked with all keys of the customer. Reason: Stolen laptop"]
    assert "All of these keys were revoked before" in answers[1].content.decode()


def test_a_selection_is_revoked_once_for_each_form(client, key):
    form = confirmed(key)
    other = ApiKeyFactory().api_key
    client.post(LIST, form)

    again = client.post(LIST, form, follow=True).content.decode()
    reused = client.post(LIST, form | {"_selected_action": [str(other.pk)]}).content.decode()

    other.refresh_from_db()
    assert "nothing was revoked again" in again
    assert "has already revoked other keys" in reused
    assert other.revoked_at is None


@pytest.mark.parametrize("missing", ["note", "form_key"])
def test_a_selection_is_not_revoked_without_a_reason_or_a_key(client, key, missing):
    answer = client.post(LIST, confirmed(key) | {missing: ""})

    key.refresh_from_db()
    assert answer.status_code == 200
    assert key.revoked_at is None


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
