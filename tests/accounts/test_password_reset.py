"""A link to set a new password: sent by staff, used once within an hour by the reader of the account's mail."""

from __future__ import annotations

import datetime as dt
import re

import pytest
import time_machine
from django.contrib.admin.models import LogEntry
from django.core import mail
from django.test import Client
from django.urls import reverse
from django.utils import timezone
from rest_framework.test import APIClient

from accounts.errors import TokenInvalid
from accounts.models import ApiKey, LoginAttempt, Notice, User
from accounts.reset_tokens import make_reset_token
from accounts.services.notices import send_notice_emails
from accounts.services.signing_in import sessions
from accounts.services.signing_in.login_guard import reserve_attempt
from accounts.services.signing_in.password_reset import reset_password
from config.rounds import Round
from tests.accounts.races import at_once
from tests.backoffice import new_form, page_of, signed_in, staff_with
from tests.factories import PASSWORD, ApiKeyFactory, StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
NEW = "another-long-enough-phrase"
LINK = re.compile(r"http://127\.0\.0\.1:8000(/reset-password/([^/]+)/)")
SENDING = ("accounts.view_user", "accounts.send_password_reset")


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


def token_of(user, at=None):
    return make_reset_token(User.objects.get(pk=user.pk), now=at or timezone.now())


def confirm(token, new=NEW, **more):
    return APIClient().post("/auth/password-reset/confirm", {"token": token, "new_password": new, **more})


def sign_in(password=PASSWORD):
    return APIClient().post("/auth/login", {"email": "alice@example.com", "password": password})


# --- The link -------------------------------------------------------------------------------------------


def test_staff_send_a_link_that_only_the_mailbox_gets_and_that_sets_a_password(alice):
    staff = signed_in(staff_with(*SENDING, "accounts.view_notice", "config.view_staffrecord"))
    page = reverse("admin:accounts_user_send_reset_link", args=[alice.pk])
    assert page in staff.get(page_of("accounts_user", alice.pk)).content.decode()
    assert "alice@example.com is sent an email" in staff.get(page).content.decode()
    assert not Notice.objects.exists()

    staff.post(page, new_form("She called."))
    send_notice_emails(Round(), now=timezone.now(), most=10)

    (email,) = mail.outbox
    address, token = LINK.search(email.body).groups()
    assert email.to == ["alice@example.com"]
    assert LogEntry.objects.latest("pk").get_change_message().endswith("Reason: She called.")
    stored = "".join(map(str, Notice.objects.values_list("subject", "body", "data").get()))
    assert token not in stored
    assert "reset-password" not in stored
    form = Client()
    assert "Set a new password" in form.get(address).content.decode()
    answer = form.post(address, {"new_password": NEW, "again": NEW})
    assert "Your password is set" in answer.content.decode()
    assert "no-store" in answer["Cache-Control"]
    assert sign_in(NEW).status_code == 200
    assert form.get(address).status_code == 404


@pytest.mark.parametrize("permissions", [(), ("accounts.view_user", "accounts.change_user", "accounts.set_password")])
def test_sending_a_link_is_a_permission_of_its_own(alice, permissions):
    client = signed_in(staff_with(*permissions))
    page = reverse("admin:accounts_user_send_reset_link", args=[alice.pk])

    assert [client.get(page).status_code, client.post(page, new_form()).status_code] == [403, 403]
    assert not Notice.objects.exists()


def test_links_are_limited_a_day_and_not_sent_to_unreachable_addresses(alice):
    client = signed_in(staff_with(*SENDING))
    nobody = [UserFactory(email="x@gateway.invalid"), UserFactory(is_active=False)]

    for person in [alice] * 7 + nobody:
        answer = client.post(reverse("admin:accounts_user_send_reset_link", args=[person.pk]), new_form(), follow=True)

    assert "Nothing was sent." in answer.content.decode()
    assert Notice.objects.filter(user=alice).count() == 5
    assert Notice.objects.count() == 5


# --- The token ------------------------------------------------------------------------------------------


def test_a_token_sets_a_password_and_ends_every_sign_in(alice):
    pair = sign_in().json()
    key = ApiKeyFactory(user=alice).api_key
    for _ in range(10):
        reserve_attempt(email=alice.email, address="203.0.113.1", now=timezone.now())

    answer = confirm(token_of(alice))

    alice.refresh_from_db()
    assert (answer.status_code, answer.content) == (204, b"")
    assert alice.check_password(NEW)
    assert alice.email_verified_at is not None
    assert not LoginAttempt.objects.exists()
    assert APIClient().post("/auth/refresh", {"refresh": pair["refresh"]}).status_code == 401
    assert ApiKey.objects.get(pk=key.pk).revoked_at is None
    assert Notice.objects.get().type == "account.password_changed"


def test_keys_are_revoked_with_it_when_asked_for(alice):
    ApiKeyFactory(user=alice)
    other = ApiKeyFactory().api_key

    confirm(token_of(alice), revoke_keys=True)

    assert list(ApiKey.objects.filter(revoked_at=None)) == [other]
    assert "1 API keys were revoked" in Notice.objects.get().body


@pytest.mark.parametrize(
    "change",
    [
        lambda user: confirm(token_of(user)),
        lambda user: User.objects.filter(pk=user.pk).update(password="!"),
        lambda user: User.objects.filter(pk=user.pk).update(email="other@example.com"),
        lambda user: User.objects.filter(pk=user.pk).update(is_active=False),
    ],
    ids=["used", "password changed", "email changed", "deactivated"],
)
def test_a_token_ends_when_the_password_or_email_changes(alice, change):
    token = token_of(alice)
    change(alice)
    before = User.objects.get().password

    answer = confirm(token, "yet-another-good-phrase")

    assert (answer.status_code, answer.json()["code"]) == (401, "token_invalid")
    assert User.objects.get().password == before


@pytest.mark.parametrize(("age", "status"), [(0, 204), (3599, 204), (3600, 401), (86_400, 401)])
def test_a_token_is_good_for_an_hour(alice, age, status):
    now = dt.datetime(2026, 11, 28, 12, tzinfo=dt.UTC)
    token = token_of(alice, now)

    with time_machine.travel(now + dt.timedelta(seconds=age), tick=False):
        assert confirm(token).status_code == status


@pytest.mark.parametrize("token", ["x", "a:b:c", "é", "\u0660", "x" * 600, "x" * 5000, None, 1, [], {}])
def test_a_text_that_is_no_token_sets_nothing(alice, token):
    assert confirm(token).status_code in (400, 401)
    assert Client().get(f"/reset-password/{str(token)[:600]}/").status_code == 404
    assert sign_in().status_code == 200


def test_an_altered_token_and_one_of_another_kind_set_nothing(alice):
    token = token_of(alice)
    pair = sessions.sign_in(email=alice.email, password=PASSWORD, address=None, now=timezone.now())

    for other in (token[:-2], token + "x", pair.access, pair.refresh):
        assert confirm(other).status_code == 401


def test_a_weak_password_is_refused_and_the_token_stays_good(alice):
    token = token_of(alice)

    refused = confirm(token, "12345678")
    shown = Client().post(f"/reset-password/{token}/", {"new_password": "12345678", "again": "12345678"})
    differing = Client().post(f"/reset-password/{token}/", {"new_password": NEW, "again": "x"})

    assert (refused.status_code, list(refused.json()["errors"])) == (400, ["new_password"])
    assert "too common" in shown.content.decode()
    assert "The two passwords differ." in differing.content.decode()
    assert confirm(token).status_code == 204


def test_a_link_for_staff_works_too():
    staff = StaffFactory()

    assert confirm(token_of(staff)).status_code == 204


@pytest.mark.django_db(transaction=True)
def test_a_token_used_many_times_at_once_works_once(alice):
    token = token_of(alice)
    words = iter([f"a-long-enough-phrase-{number}" for number in range(6)])

    outcomes = at_once(6, lambda: reset_password(token=token, new=next(words), now=timezone.now()))

    assert sorted(type(outcome).__name__ for outcome in outcomes) == ["NoneType"] + ["TokenInvalid"] * 5
    assert TokenInvalid is not None
    assert Notice.objects.count() == 1
