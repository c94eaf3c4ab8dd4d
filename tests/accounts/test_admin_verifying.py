"""Verifying an email by hand, and what every confirmed action that is carried out once for each form has to do."""

from __future__ import annotations

import re

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection, transaction
from django.db.utils import ProgrammingError
from django.urls import reverse
from django.utils import timezone

from accounts.models import User
from accounts.services.people import change_email
from config.models import SpentForm
from tests.accounts.races import at_once
from tests.backoffice import new_form, page_of, signed_in, staff_log_of, staff_with, superuser
from tests.factories import StaffFactory, UserFactory

pytestmark = pytest.mark.django_db
MAY = ("accounts.view_user", "accounts.verify_email")


@pytest.fixture
def alice():
    return UserFactory(email="alice@example.com")


def url(user):
    return reverse("admin:accounts_user_verify_email", args=[user.pk])


def form_for(user, **fields):
    return new_form("Showed the letter that we sent.", email=user.email) | fields


def is_verified(user):
    return User.objects.get(pk=user.pk).email_verified_at is not None


def test_staff_verify_an_address_with_a_reason_after_a_preview(alice):
    client = signed_in(staff_with(*MAY))
    page = page_of("accounts_user", alice.pk)
    assert url(alice) in client.get(page).content.decode()
    key = re.search(r'name="form_key" value="([^"]+)"', client.get(url(alice)).content.decode())[1]

    preview = client.post(url(alice), form_for(alice, form_key=key, step="preview"))
    before = is_verified(alice)
    client.post(url(alice), form_for(alice, form_key=key))

    assert preview.context["preview"] == [("Address", "alice@example.com"), ("Verified", "no → yes")]
    assert (before, is_verified(alice)) == (False, True)
    *_, logged = staff_log_of(alice)
    assert logged.startswith("Verified the email by hand (Address: alice@example.com; Verified: no → yes). Reason: Sho")
    assert url(alice) not in client.get(page).content.decode()


def test_an_address_that_was_changed_meanwhile_is_not_verified(alice):
    client, form = signed_in(superuser()), form_for(alice)
    change_email(user=alice, email="new@example.com", now=timezone.now())

    answer = client.post(url(alice), form)

    assert "it is new@example.com now" in answer.content.decode()
    assert not is_verified(alice)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"email": "x@gateway.invalid"}, "No email can be sent to this person"),
        ({"email": "v@example.com", "email_verified_at": timezone.now()}, "This address is verified already"),
    ],
)
def test_an_address_that_cannot_be_verified_is_refused(fields, sentence):
    person = UserFactory(**fields)

    answer = signed_in(superuser()).post(url(person), form_for(person))

    assert f"Nothing was verified. {sentence}" in answer.content.decode()
    assert LogEntry.objects.count() == 0


@pytest.mark.parametrize("permissions", [(), ("accounts.view_user", "accounts.change_user", "accounts.change_email")])
def test_verifying_is_a_permission_of_its_own(alice, permissions):
    client = signed_in(staff_with(*permissions))

    assert [client.get(url(alice)).status_code, client.post(url(alice), form_for(alice)).status_code] == [403, 403]
    assert not is_verified(alice)


def test_nobody_verifies_their_own_address_or_a_colleagues():
    clerk = staff_with(*MAY)
    boss = superuser()

    codes = [
        signed_in(clerk).post(url(clerk), form_for(clerk)).status_code,
        signed_in(clerk).post(url(StaffFactory()), form_for(clerk)).status_code,
        signed_in(boss).post(url(boss), form_for(boss)).status_code,
    ]

    assert codes == [403, 403, 403]


@pytest.mark.parametrize(
    "wrong", [{"note": ""}, {"note": " "}, {"form_key": ""}, {"form_key": "x"}, {"email": ""}, {"email": "a\0b"}]
)
def test_a_form_without_a_reason_key_or_address_changes_nothing(alice, wrong):
    answer = signed_in(superuser()).post(url(alice), form_for(alice, **wrong))

    assert answer.status_code == 200
    assert not is_verified(alice)
    assert SpentForm.objects.count() == 0


def test_a_form_sent_again_does_nothing_even_if_it_could(alice):
    client, form = signed_in(superuser()), form_for(alice)
    client.post(url(alice), form)
    User.objects.filter(pk=alice.pk).update(email_verified_at=None)

    for step in ("preview", "confirm"):
        answer = client.post(url(alice), form | {"step": step}, follow=True)
        assert "This form was sent before; nothing was verified again." in answer.content.decode()

    assert not is_verified(alice)
    assert len(staff_log_of(alice)) == 1


def test_a_spent_form_with_other_words_or_of_another_person_is_refused_and_gets_a_new_key(alice):
    form, boss = form_for(alice), superuser()
    signed_in(boss).post(url(alice), form)

    for who, fields in ((boss, {"note": "Another reason"}), (superuser(), {})):
        answer = signed_in(who).post(url(alice), form | fields)
        assert "has already made another change" in answer.content.decode()
        assert answer.context["form_key"] != form["form_key"]


def test_a_spent_form_is_neither_changed_nor_deleted_by_the_application(alice):
    signed_in(superuser()).post(url(alice), form_for(alice))

    for statement in ("UPDATE config_spentform SET path = ''", "DELETE FROM config_spentform"):
        with pytest.raises(ProgrammingError, match="permission denied"), transaction.atomic():
            connection.cursor().execute(statement)


@pytest.mark.django_db(transaction=True)
def test_a_form_confirmed_sixteen_times_at_once_is_carried_out_once(alice):
    boss, form = superuser(), form_for(alice)

    answers = at_once(16, lambda: signed_in(boss).post(url(alice), form).status_code)

    assert answers == [302] * 16
    assert is_verified(alice)
    assert len(staff_log_of(alice)) == 1
