"""No account is taken over unnoticed: changing emails and passwords needs permissions, and owners are notified."""

from __future__ import annotations

import pytest
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.models import ApiKey, LoginAttempt, Notice, User
from accounts.services.notices import send_notice_emails
from config.rounds import Round
from tests.account import client_of
from tests.backoffice import page_of, signed_in, staff_with
from tests.factories import PASSWORD, ApiKeyFactory, StaffFactory, UserFactory
from tests.ledger.running import run

pytestmark = pytest.mark.django_db
NEW = "another-long-enough-phrase"
CHANGING = ("accounts.view_user", "accounts.change_user")


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com", full_name="Alice")


def emails():
    send_notice_emails(Round(), now=timezone.now(), most=100)
    return [(email.to[0], email.subject) for email in mail.outbox]


def form(**changed):
    return {"email": "alice@example.com", "full_name": "Alice", "is_active": "on", **changed}


def set_password(client, user):
    return client.post(
        reverse("admin:auth_user_password_change", args=[user.pk]),
        {"usable_password": "true", "set-password": "1", "password1": NEW, "password2": NEW},
    )


# --- In the back office ---------------------------------------------------------------------------------


def test_email_and_password_stay_when_staff_may_only_change_people(alice):
    client = signed_in(staff_with(*CHANGING))

    page = client.get(page_of("accounts_user", alice.pk)).content.decode()
    client.post(page_of("accounts_user", alice.pk), form(email="mine@example.com", full_name="Alice L."))
    refused = [
        client.get(reverse("admin:auth_user_password_change", args=[alice.pk])).status_code,
        set_password(client, alice).status_code,
    ]

    alice.refresh_from_db()
    assert (alice.email, alice.full_name) == ("alice@example.com", "Alice L.")
    assert alice.check_password(PASSWORD)
    assert refused == [403, 403]
    assert 'name="email"' not in page
    assert alice.password not in page
    assert emails() == []


def test_a_changed_email_is_unverified_and_both_addresses_are_notified(alice):
    User.objects.filter(pk=alice.pk).update(email_verified_at=timezone.now())
    client = signed_in(staff_with(*CHANGING, "accounts.change_email"))

    client.post(page_of("accounts_user", alice.pk), form(email="new@example.com"))

    alice.refresh_from_db()
    assert (alice.email, alice.email_verified_at) == ("new@example.com", None)
    subject = "The email of your account was changed"
    assert sorted(emails()) == [("alice@example.com", subject), ("new@example.com", subject)]
    assert not any("@example.com" in email.body for email in mail.outbox)


def test_a_password_set_by_staff_sends_a_notice_and_ends_every_sign_in(alice):
    pair = APIClient().post("/auth/login", {"email": alice.email, "password": PASSWORD}).json()
    client = signed_in(staff_with(*CHANGING, "accounts.set_password"))

    answer = set_password(client, alice)

    alice.refresh_from_db()
    assert answer.status_code == 302
    assert alice.check_password(NEW)
    assert APIClient().post("/auth/refresh", {"refresh": pair["refresh"]}).status_code == 401
    assert emails() == [("alice@example.com", "Your password was changed")]
    assert "by our staff" in mail.outbox[0].body


def test_a_key_issued_by_staff_sends_a_notice(alice):
    client = signed_in(staff_with("accounts.view_user", "accounts.add_apikey"))
    issuing = reverse("admin:accounts_user_issue_key", args=[alice.pk])
    key = client.get(issuing).context["form"]["form_key"].value()
    asked = {"name": "visit evil.example", "scopes": ["account:read"], "form_key": key}

    for _ in range(2):
        client.post(issuing, asked)

    assert emails() == [("alice@example.com", "A new API key of your account")]
    assert str(ApiKey.objects.get()) in mail.outbox[0].body
    assert "evil" not in mail.outbox[0].body


# --- By the person themselves, and by commands ------------------------------------------------------------


def test_a_password_changed_over_the_api_sends_a_notice_and_keys_stay(alice):
    key = ApiKeyFactory(user=alice).api_key

    client_of(alice).post("/auth/password", {"current_password": PASSWORD, "new_password": NEW})

    assert emails() == [("alice@example.com", "Your password was changed")]
    assert ApiKey.objects.get(pk=key.pk).revoked_at is None


def test_keys_are_revoked_with_the_password_when_asked_for(alice):
    ApiKeyFactory(user=alice)
    stranger = ApiKeyFactory().api_key
    body = {"current_password": PASSWORD, "new_password": NEW, "revoke_keys": True}

    assert client_of(alice).post("/auth/password", body).status_code == 204

    assert list(ApiKey.objects.filter(revoked_at=None)) == [stranger]


@pytest.mark.parametrize("current", ["wrong", PASSWORD])
def test_no_key_is_revoked_when_the_change_is_refused(alice, current):
    ApiKeyFactory(user=alice)
    body = {"current_password": current, "new_password": "short", "revoke_keys": True}

    assert client_of(alice).post("/auth/password", body).status_code == 400

    assert ApiKey.objects.get().revoked_at is None
    assert not Notice.objects.exists()


def test_keys_created_by_customers_and_commands_send_a_few_emails_a_day(alice):
    client = client_of(alice)
    made = client.post("/auth/account/api-keys", {"name": "visit evil.example"}).json()
    client.post(f"/auth/account/api-keys/{made['id']}/rotate", {})
    run("create_api_key", "--user", alice.email, "--name", "n", "--scope", "account:read")
    run("create_api_key", "--service", "gateway", "--scope", "metering")

    assert len(emails()) == 3

    for number in range(10):
        client.post("/auth/account/api-keys", {"name": f"key {number}"})

    assert len(emails()) == 5
    assert Notice.objects.of(alice.pk).filter(type="api_key.created").count() == 13
    assert not any("evil" in email.body for email in mail.outbox)


# --- The own password of staff ---------------------------------------------------------------------------


def own(client, old, new=NEW):
    return client.post("/admin/password_change/", {"old_password": old, "new_password1": new, "new_password2": new})


def test_staff_change_their_own_password_and_stay_signed_in():
    staff = StaffFactory()
    client = signed_in(staff)

    answer = own(client, PASSWORD)

    staff.refresh_from_db()
    assert answer.status_code == 302
    assert staff.check_password(NEW)
    assert client.get("/admin/password_change/done/").status_code == 200
    assert emails() == [(staff.email, "Your password was changed")]


def test_guesses_at_the_own_password_are_counted_with_those_of_signing_in():
    staff = StaffFactory(email="staff@example.com")
    client = signed_in(staff)

    answers = [own(client, "wrong") for _ in range(11)]

    assert [answer.status_code for answer in answers] == [200] * 10 + [429]
    assert LoginAttempt.objects.count() == 10
    assert own(client, PASSWORD).status_code == 429
    assert Client().post("/admin/login/", {"username": staff.email, "password": PASSWORD}).status_code == 429
    staff.refresh_from_db()
    assert staff.check_password(PASSWORD)


@pytest.mark.parametrize("new", ["short", "12345678901", "x" * 5000])
def test_a_weak_own_password_is_refused(new):
    staff = StaffFactory()

    assert own(signed_in(staff), PASSWORD, new).status_code == 200

    staff.refresh_from_db()
    assert staff.check_password(PASSWORD)
