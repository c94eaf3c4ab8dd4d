"""A lost second factor: reset by a superuser with a reason, or by a command for the last superuser."""

from __future__ import annotations

import uuid

import pytest
from allauth.mfa.models import Authenticator
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from accounts.models import Notice
from accounts.services.signing_in.second_factors import has_second_factor
from tests.accounts.second_factors import app_of, code_of, give_code, give_password, is_signed_in, recovery_codes_of
from tests.backoffice import note_step, settings_of, signed_in, staff_log_of, staff_with, superuser
from tests.factories import StaffFactory
from tests.ledger.running import run

pytestmark = pytest.mark.django_db


@pytest.fixture
def colleague():
    """Somebody of staff with an app and recovery codes."""
    person = StaffFactory()
    app_of(person)
    recovery_codes_of(person)
    return person


def page_of(person):
    return reverse("admin:accounts_user_reset_second_factor", args=[person.pk])


def words(**more):
    return {"form_key": str(uuid.uuid4()), "note": "Lost the telephone", "step": "confirm", **more}


def test_a_superuser_resets_a_colleagues_second_factor_and_it_is_written_down(colleague):
    answer = signed_in(superuser()).post(page_of(colleague), words())

    assert answer.status_code == 302
    assert not Authenticator.objects.filter(user=colleague).exists()
    (said,) = staff_log_of(colleague)
    assert "Reset the second factor" in said
    assert "Lost the telephone" in said
    told = Notice.objects.get(type="account.second_factor_changed")
    assert (told.user, told.data["what"], told.data["by_staff"]) == (colleague, "reset", True)


def test_a_reset_ends_every_session(colleague):
    app, client = Authenticator.objects.get(user=colleague, type="totp"), Client()
    give_password(client, colleague)
    give_code(client, code_of(app))

    signed_in(superuser()).post(page_of(colleague), words())

    assert client.get("/admin/").status_code == 302
    assert not is_signed_in(client)


def test_a_reset_needs_a_reason(colleague):
    answer = signed_in(superuser()).post(page_of(colleague), words(note=""))

    assert answer.status_code == 200
    assert has_second_factor(colleague)


def test_nobody_but_superusers_resets_a_second_factor(colleague):
    everything = staff_with("accounts.reset_second_factor", "accounts.view_user")

    answer = signed_in(everything).post(page_of(colleague), words())

    assert answer.status_code == 403
    assert has_second_factor(colleague)


def test_a_superuser_does_not_reset_their_own_second_factor():
    person = superuser()
    app_of(person)

    answer = signed_in(person).post(page_of(person), words())

    assert answer.status_code == 403
    assert has_second_factor(person)


def test_a_person_without_a_second_factor_is_not_offered_a_reset(colleague):
    other = StaffFactory()
    client = signed_in(superuser())

    assert "reset-second-factor" in client.get(f"/admin/accounts/user/{colleague.pk}/change/").content.decode()
    assert "reset-second-factor" not in client.get(f"/admin/accounts/user/{other.pk}/change/").content.decode()
    answer = client.post(page_of(other), words())
    assert "has no second factor" in answer.content.decode()


def test_superusers_see_which_second_factors_staff_have_and_who_has_none(colleague):
    other, client = StaffFactory(), signed_in(superuser())

    page = client.get(settings_of(colleague)).content.decode()
    listed = client.get("/admin/accounts/user/?second_factor=none").context["cl"].result_list

    assert "Authenticator app, recovery codes" in page
    assert colleague not in listed
    assert other in listed


def test_a_page_behind_the_gate_takes_no_statement_more(settings, django_assert_num_queries):
    person = superuser()
    client = signed_in(person)
    note_step(client, person, "mfa")
    client.get("/admin/auth/group/")
    with CaptureQueriesContext(connection) as before:
        client.get("/admin/auth/group/")
    settings.STAFF_MFA_REQUIRED = True

    with django_assert_num_queries(len(before)):
        assert client.get("/admin/auth/group/").status_code == 200


def test_the_command_resets_the_last_superusers_second_factor():
    person = superuser()
    app_of(person)

    ran = run("reset_second_factor", person.email, "--json")

    assert (ran.code, ran.json) == (0, {"user_id": person.pk, "email": person.email, "removed": 1})
    assert not has_second_factor(person)
    assert Notice.objects.filter(user=person, type="account.second_factor_changed").exists()


def test_the_command_refuses_when_there_is_none():
    ran = run("reset_second_factor", superuser().email)

    assert (ran.code, "has no second factor" in ran.err) == (1, True)
