"""Addresses and names: which are accepted, and that every spelling of a domain is one account."""

from __future__ import annotations

import pytest
from django.core.exceptions import ValidationError
from rest_framework.test import APIClient

from accounts.emails import canonical_email, validate_mailbox, validate_name
from accounts.errors import EmailTaken, FieldsRefused
from accounts.models import User
from accounts.services.signing_in.login_guard import reserve_attempt
from accounts.services.signing_in.passwords import check_credentials
from accounts.services.signing_in.registration import create_customer
from tests.account import client_of
from tests.accounts.conftest import ADDRESS
from tests.backoffice import signed_in, superuser
from tests.factories import PASSWORD, UserFactory
from usage.services.events import _customers_named

ASCII_FORM = "anna@xn--bcher-kva.example"
SPELLINGS = (
    "anna@bücher.example", "Anna@BÜCHER.example", "anna@bu\u0308cher.example", "anna@ｂücher。example",
    "ANNA@XN--BCHER-KVA.EXAMPLE", ASCII_FORM,
)  # fmt: skip
NO_MAILBOX = (
    "a@" + "é" * 60 + ".example", "a@[192.0.2.1]", "a@[IPv6:2001:db8::1]", "a@192.0.2.10", "root@localhost",
    "root@mail.localhost", "a@com", "a@-x.example", "a@x-.example", "a@x_y.example", "a@x..example", "a@.example",
    "a@" + "x" * 64 + ".example", "x" * 65 + "@example.com", "a" * 60 + "@" + ("b" * 60 + ".") * 4 + "example",
    "é@example.com", '"a b"@example.com', '"\x07"@example.com', ".a@example.com", "a.@example.com", "a..b@example.com",
    "a b@example.com", "a,b@example.com", "a@example.com, b@example.com", "<a@example.com>", "a@b@example.com",
    "a\r\nBcc: b@example.com", "a@example.com\r\nBcc: b@example.com", "a@exam\nple.com", "a\x00@example.com",
    "\u202ea@example.com", "a@\u202eexample.com", "a@exa\u200bmple\u2067.com", "a@xn--\u00e9.example",
    "a@xn--a.example", "a@☃.example", "a@", "@example.com", "a", "",
)  # fmt: skip
BAD_NAMES = (
    "A\r\nBcc: b@example.com",
    "A\nB",
    "A\x07",
    "A\x7f",
    "A\u0085B",
    "\u202eecilA",
    "A\u2066",
    "A\u200f",
    "A\u2028B",
)


@pytest.mark.parametrize("email", ["a@example.com", "A.b+c@mail.Example.co.uk", "o'brien@example.museum", *SPELLINGS])
def test_a_mailbox_is_accepted(email):
    validate_mailbox(email)


@pytest.mark.parametrize("email", NO_MAILBOX)
def test_an_address_is_refused_that_no_mail_can_be_sent_to(email):
    with pytest.raises(ValidationError):
        validate_mailbox(email)


@pytest.mark.parametrize("name", ["", "Alice Liddell", "Ñandú", "سارا\u200cجان", "李雷", "O’Brien 👩\u200d🔬"])
def test_a_name_is_accepted_as_people_write_it(name):
    validate_name(name)


@pytest.mark.parametrize("name", BAD_NAMES)
def test_a_name_with_hidden_characters_is_refused(name):
    with pytest.raises(ValidationError):
        validate_name(name)


@pytest.mark.parametrize("email", ["alice", "a@", "\udcff@example.com", "a@\udcff", "\0", "a@" + "é" * 10_000, "@"])
def test_canonical_email_returns_invalid_addresses_unchanged(email):
    assert canonical_email(email) == email


@pytest.mark.django_db
@pytest.mark.parametrize("email", NO_MAILBOX)
def test_registering_refuses_an_address_that_no_mail_can_be_sent_to(email):
    answer = APIClient().post("/auth/register", {"email": email, "password": "a-long-enough-phrase"}, format="json")

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["email"]
    assert not User.objects.exists()


@pytest.mark.django_db
@pytest.mark.parametrize("name", BAD_NAMES)
def test_registering_refuses_a_name_with_hidden_characters(name):
    body = {"email": "a@example.com", "password": "a-long-enough-phrase", "full_name": name}

    answer = APIClient().post("/auth/register", body, format="json")

    assert answer.status_code == 400
    assert list(answer.json()["errors"]) == ["full_name"]


@pytest.mark.django_db
@pytest.mark.parametrize("email", NO_MAILBOX)
def test_create_customer_refuses_an_address_that_no_mail_can_be_sent_to(email):
    with pytest.raises(FieldsRefused):
        create_customer(email=email, full_name="")


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("field", "value"), [("email", NO_MAILBOX[0]), ("email", "root@localhost"), ("full_name", BAD_NAMES[5])]
)
def test_the_back_office_refuses_the_same(field, value):
    customer = UserFactory(email="alice@example.com", full_name="Alice")
    client = signed_in(superuser())
    form = {"email": "alice@example.com", "full_name": "Alice", "is_active": "on", field: value}

    changed = client.post(f"/admin/accounts/user/{customer.pk}/change/", form)
    added = client.post("/admin/accounts/user/add/", {**form, "usable_password": "false", "email": value})

    assert field in changed.context["adminform"].form.errors
    assert added.status_code == 200
    assert User.objects.filter(is_staff=False).values_list("email", "full_name").get() == ("alice@example.com", "Alice")


@pytest.mark.django_db
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_a_mailbox_is_one_account_however_its_domain_is_written(spelling):
    made = create_customer(email=SPELLINGS[0], full_name="", password=PASSWORD)

    assert made.email == ASCII_FORM
    assert User.objects.with_email(spelling).get() == made
    with pytest.raises(EmailTaken):
        create_customer(email=spelling, full_name="")


@pytest.mark.django_db
@pytest.mark.parametrize("spelling", SPELLINGS)
def test_signing_in_and_events_find_the_account_however_its_domain_is_written(spelling, now):
    made = create_customer(email=SPELLINGS[0], full_name="", password=PASSWORD)

    assert check_credentials(email=spelling, password=PASSWORD, address=ADDRESS, now=now) == made
    assert reserve_attempt(email=spelling, address=ADDRESS, now=now).account == ASCII_FORM
    assert _customers_named([spelling], now) == {spelling: (made.pk, None)}


@pytest.mark.django_db
@pytest.mark.parametrize("name", BAD_NAMES)
def test_names_of_keys_and_webhooks_have_no_hidden_characters(name):
    client = client_of(UserFactory())

    key = client.post("/auth/account/api-keys", {"name": f"x{name}y"})
    webhook = client.post("/auth/account/webhooks", {"url": "https://example.com/", "description": f"x{name}y"})

    assert (key.status_code, list(key.json()["errors"])) == (400, ["name"])
    assert (webhook.status_code, list(webhook.json()["errors"])) == (400, ["description"])
