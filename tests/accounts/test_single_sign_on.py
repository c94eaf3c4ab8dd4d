"""Single sign-on of staff: who comes in, with which roles, and whether the issuer asked for a second factor."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest
from allauth.socialaccount.models import SocialAccount
from django.contrib.auth.models import Group
from django.test import Client

from accounts.models import User
from accounts.providers.issuer import CONFIGURATION, turn
from accounts.services.roles.setting_up import set_up_roles
from config.settings_sign_in import providers
from tests.accounts.issuers import CLIENT, SECRET, issuing
from tests.accounts.second_factors import CODE_PAGE, ENROL, SIGN_IN, app_of, is_signed_in
from tests.backoffice import note_step, signed_in, staff_log_of
from tests.factories import StaffFactory, UserFactory, customer_with

pytestmark = pytest.mark.django_db
BEGIN = "/account/single-sign-on/staff/"
ROLES = {"acme-help": "support", "acme-money": "finance"}


@pytest.fixture
def issuer(settings):
    set_up_roles()
    with issuing() as made:
        settings.OIDC_ISSUER, settings.OIDC_ROLES = made.url, ROLES
        settings.SOCIALACCOUNT_PROVIDERS = providers(
            issuer=made.url, name="Acme", client_id=CLIENT, secret=SECRET, scopes=["openid", "email"]
        )
        made.claims = {"email": "fay@example.com", "email_verified": True, "name": "Fay", "groups": ["acme-money"]}
        yield made


@pytest.fixture
def fay():
    return StaffFactory(email="Fay@example.com")


def come_in(client, issuer, begin=BEGIN):
    """Go through the issuer as a browser does; return the response to coming back."""
    led = client.get(begin)
    assert led.status_code == 302, led.content
    back = urlsplit(issuer.visit(led.url))
    return client.get(f"{back.path}?{back.query}")


def roles_of(user) -> list[str]:
    return sorted(user.groups.values_list("name", flat=True))


def test_a_known_person_with_a_verified_address_comes_in_with_the_roles_of_today(issuer, fay):
    client = Client()

    answer = come_in(client, issuer, f"{BEGIN}?next=/admin/ledger/entry/")

    assert (answer.status_code, answer.url) == (302, "/admin/ledger/entry/")
    assert client.get(answer.url).status_code == 200
    assert roles_of(fay) == ["finance"]
    assert staff_log_of(fay) == ["Single sign-on gave the role finance."]


def test_the_sign_in_page_offers_it_and_keeps_where_to_go(issuer):
    page = Client().get(f"{SIGN_IN}?next=/admin/ledger/entry/").content.decode()

    assert f'href="{BEGIN}?next=/admin/ledger/entry/"' in page


def test_roles_are_taken_away_that_the_groups_no_longer_give_and_others_stay(issuer, fay):
    come_in(Client(), issuer)
    fay.groups.add(Group.objects.get(name="auditor"))
    issuer.claims["groups"] = ["acme-help"]

    come_in(Client(), issuer)

    assert roles_of(fay) == ["auditor", "support"]
    assert staff_log_of(fay)[-1] == "Single sign-on gave the role support, took the role finance."


def test_who_is_left_without_a_role_is_not_let_in_and_every_session_ends(issuer, fay):
    before = Client()
    come_in(before, issuer)
    issuer.claims["groups"] = []

    answer = come_in(Client(), issuer)

    assert answer.status_code == 403
    assert "None of your groups gives you a role" in answer.content.decode()
    assert roles_of(fay) == []
    assert before.get("/admin/").status_code == 302


@pytest.mark.parametrize("verified", [False, None, "true", 1])
def test_an_address_that_is_not_verified_lets_nobody_in(issuer, fay, verified):
    issuer.claims["email_verified"] = verified
    client = Client()

    answer = come_in(client, issuer)

    assert (answer.status_code, is_signed_in(client)) == (403, False)
    assert not SocialAccount.objects.exists()


def test_a_person_is_known_by_the_issuers_name_after_the_first_time(issuer, fay):
    come_in(Client(), issuer)
    User.objects.filter(pk=fay.pk).update(email="other@example.com")
    issuer.claims |= {"email": "third@example.com", "email_verified": False}
    client = Client()

    come_in(client, issuer)

    assert client.session["_auth_user_id"] == str(fay.pk)


def test_another_person_of_the_issuer_with_the_same_address_is_refused(issuer, fay):
    come_in(Client(), issuer)
    issuer.claims["sub"] = "person-2"
    client = Client()

    answer = come_in(client, issuer)

    assert (answer.status_code, is_signed_in(client)) == (403, False)


def test_a_customers_account_is_never_signed_in_nor_made_staff(issuer):
    customer = UserFactory(email="fay@example.com")
    client = Client()

    answer = come_in(client, issuer)

    customer.refresh_from_db()
    assert (answer.status_code, is_signed_in(client), customer.is_staff) == (403, False, False)
    assert roles_of(customer) == []


def test_a_deactivated_person_is_refused(issuer, fay):
    User.objects.filter(pk=fay.pk).update(is_active=False)
    client = Client()

    assert come_in(client, issuer).status_code == 403
    assert not is_signed_in(client)


def test_an_unknown_person_is_created_only_if_that_is_allowed(issuer, settings):
    refused = come_in(Client(), issuer)
    settings.OIDC_CREATE_STAFF = True
    allowed = come_in(Client(), issuer)

    person = User.objects.get()
    assert (refused.status_code, allowed.status_code) == (403, 302)
    assert (person.email, person.full_name, person.is_staff, person.is_superuser) == (
        "fay@example.com", "Fay", True, False
    )  # fmt: skip
    assert not person.has_usable_password()
    assert roles_of(person) == ["finance"]


def test_an_unknown_person_without_a_role_is_not_created(issuer, settings):
    settings.OIDC_CREATE_STAFF = True
    issuer.claims["groups"] = ["acme-cooks"]

    assert come_in(Client(), issuer).status_code == 403
    assert not User.objects.exists()


def test_a_superuser_needs_no_role_and_gets_no_right_from_the_issuer(issuer):
    person = StaffFactory(email="fay@example.com", is_superuser=True)
    issuer.claims["groups"] = []

    assert come_in(Client(), issuer).status_code == 302
    person.refresh_from_db()
    assert person.is_superuser


# --- The second factor ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("setting", "claims", "counts"),
    [
        ("claimed", {}, False),
        ("claimed", {"amr": ["pwd"]}, False),
        ("claimed", {"amr": ["pwd", "mfa"]}, True),
        ("claimed", {"amr": "mfa"}, False),  # no list: not of the form that is prescribed
        ("claimed", {"acr": "mfa"}, True),
        ("always", {}, True),
        ("never", {"amr": ["mfa"]}, False),
    ],
)
def test_the_issuers_second_factor_counts_if_it_says_so(issuer, fay, settings, setting, claims, counts):
    settings.STAFF_MFA_REQUIRED, settings.OIDC_MFA = True, setting
    issuer.claims |= claims
    client = Client()

    come_in(client, issuer)
    page = client.get("/admin/")

    assert page.status_code == (200 if counts else 302)
    assert counts or page.url == ENROL


def test_who_has_a_second_factor_here_is_asked_unless_the_issuer_did(issuer, fay):
    app_of(fay)
    asked, spared = Client(), Client()

    led = come_in(asked, issuer)
    issuer.claims["amr"] = ["mfa"]
    come_in(spared, issuer)

    assert (led.url, is_signed_in(asked), is_signed_in(spared)) == (CODE_PAGE, False, True)


def test_signing_in_anew_in_the_same_browser_keeps_the_issuers_second_factor(issuer, fay, settings):
    settings.STAFF_MFA_REQUIRED = True
    issuer.claims["amr"] = ["mfa"]
    client = Client()
    come_in(client, issuer)

    come_in(client, issuer)

    assert client.get("/admin/").status_code == 200


# --- Before money moves -------------------------------------------------------------------------------------------


def test_who_has_nothing_here_confirms_at_the_issuer_anew(issuer, fay):
    User.objects.filter(pk=fay.pk).update(is_superuser=True)
    fay.set_unusable_password()
    fay.save(update_fields=["password"])
    client, page = Client(), f"/admin/accounts/user/{customer_with(1).pk}/overdraft-limit/"
    client.force_login(fay)
    note_step(client, fay, "single_sign_on", seconds_ago=3_600)

    led = client.get(page)
    onward = client.get(led.url)
    answer = come_in(client, issuer, onward.url)

    assert led.url.startswith("/account/single-sign-on/?next=")
    assert (issuer.asked[-1]["prompt"], issuer.asked[-1]["max_age"]) == ("login", "0")
    assert answer.url == page
    assert client.get(page).status_code == 200


def test_a_sign_in_at_the_issuer_some_time_ago_is_no_recent_one(issuer, fay):
    User.objects.filter(pk=fay.pk).update(is_superuser=True)
    issuer.claims["auth_time"] = int(time.time()) - 3_600
    client, page = Client(), f"/admin/accounts/user/{customer_with(1).pk}/overdraft-limit/"

    come_in(client, issuer)

    assert client.get(page).status_code == 302


# --- Damaged and forged ---------------------------------------------------------------------------------------------


def test_an_answer_for_another_site_is_refused(issuer, fay):
    issuer.audience = "another site"
    client = Client()

    assert come_in(client, issuer).status_code == 401
    assert not is_signed_in(client)


def test_an_answer_of_another_issuer_is_refused(issuer, fay):
    issuer.issuer = "https://elsewhere.example"
    client = Client()

    assert come_in(client, issuer).status_code == 401
    assert not is_signed_in(client)


def test_answers_about_two_people_are_refused(issuer, fay):
    issuer.userinfo = {"sub": "person-2", "email": "fay@example.com", "email_verified": True}
    client = Client()

    assert come_in(client, issuer).status_code == 403
    assert not is_signed_in(client)


def test_an_answer_that_was_begun_in_another_browser_is_refused(issuer, fay):
    back = urlsplit(issuer.visit(Client().get(BEGIN).url))
    client = Client()

    answer = client.get(f"{back.path}?{back.query}")

    assert (answer.status_code, is_signed_in(client)) == (401, False)


def test_an_answer_works_once(issuer, fay):
    first = Client()
    back = urlsplit(issuer.visit(first.get(BEGIN).url))
    first.get(f"{back.path}?{back.query}")
    first.post("/admin/logout/")

    answer = first.get(f"{back.path}?{back.query}")

    assert (answer.status_code, is_signed_in(first)) == (401, False)


def test_a_link_adds_no_scopes_and_leads_to_no_other_site(issuer, fay):
    client = Client()
    led = client.get(f"{BEGIN}?scope=admin&auth_params=prompt%3Dnone&process=connect&next=https://elsewhere.example/")
    back = urlsplit(issuer.visit(led.url))

    answer = client.get(f"{back.path}?{back.query}")

    assert set(issuer.asked[0]["scope"].split()) == {"openid", "email"}
    assert "prompt" not in issuer.asked[0]
    assert answer.url == "/admin/"


@pytest.mark.parametrize("process", ["connect", "redirect"])
def test_a_link_connects_no_account_of_the_issuer_with_another_person(issuer, fay, process):
    other = StaffFactory()
    client = signed_in(other)

    come_in(client, issuer, f"{BEGIN}?process={process}")

    assert list(SocialAccount.objects.values_list("user_id", flat=True)) == [fay.pk]


def test_leaving_at_the_issuer_is_said(issuer):
    client = Client()
    state = issuer.visit(client.get(BEGIN).url).rpartition("state=")[2]

    answer = client.get(f"{BEGIN}callback/?error=access_denied&state={state}", follow=True)

    assert "You left before" in answer.content.decode()


def test_an_issuer_that_is_away_is_a_503(issuer, settings):
    settings.SOCIALACCOUNT_PROVIDERS = providers(
        issuer="http://127.0.0.1:1", name="Acme", client_id=CLIENT, secret=SECRET, scopes=["openid"]
    )

    assert Client().get(BEGIN).status_code == 503


def test_a_silent_issuer_holds_few_threads_and_not_for_long(issuer, fay, settings):
    settings.SOCIALACCOUNT_REQUESTS_TIMEOUT = 0.2
    client, others = Client(), Client()
    back = urlsplit(issuer.visit(client.get(BEGIN).url))
    issuer.seconds = 0.6

    with turn():
        meanwhile = others.get(f"{back.path}?{back.query}").status_code
    began = time.monotonic()
    answer = client.get(f"{back.path}?{back.query}")

    assert meanwhile == 503
    assert answer.status_code in (401, 503)
    assert time.monotonic() - began < 0.6


def test_the_issuers_addresses_are_asked_once_in_a_while(issuer, fay):
    come_in(Client(), issuer)
    before = issuer.calls.count(CONFIGURATION)

    come_in(Client(), issuer)

    assert (before, issuer.calls.count(CONFIGURATION)) == (1, 1)
