"""`create_customer`, as commands and imports use it; `register` is tested through its endpoint."""

import pytest
from django.db import transaction

from accounts.errors import EmailTaken, FieldsRefused
from accounts.models import User
from accounts.services.signing_in.registration import create_customer
from tests.accounts.races import at_once
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


def test_a_customer_with_a_password_can_sign_in():
    user = create_customer(email=" Alice@example.com ", full_name=" Alice ", password="weak")

    assert (user.email, user.full_name) == ("Alice@example.com", "Alice")
    assert user.check_password("weak")


def test_a_customer_without_a_password_has_none():
    user = create_customer(email="203.0.113.7@gateway.invalid", full_name="")

    assert not user.has_usable_password()


def test_a_taken_address_is_refused_and_the_callers_transaction_goes_on():
    UserFactory(email="alice@example.com")

    with transaction.atomic():
        with pytest.raises(EmailTaken):
            create_customer(email="ALICE@example.com", full_name="")
        assert User.objects.count() == 1


@pytest.mark.parametrize(
    ("email", "full_name", "field"),
    [
        ("", "", "email"),
        ("alice", "", "email"),
        ("a" * 250 + "@example.com", "", "email"),
        ("alice@example.com", "x" * 201, "full_name"),
    ],
)
def test_an_invalid_value_is_refused_at_its_field(email, full_name, field):
    with pytest.raises(FieldsRefused) as refusal:
        create_customer(email=email, full_name=full_name)

    assert list(refusal.value.errors) == [field]


@pytest.mark.django_db(transaction=True)
def test_one_of_two_concurrent_calls_creates_the_person():
    outcomes = at_once(6, lambda: create_customer(email="alice@example.com", full_name=""))

    assert sum(isinstance(outcome, User) for outcome in outcomes) == 1
    assert sum(isinstance(outcome, EmailTaken) for outcome in outcomes) == 5


def test_the_database_insists_on_one_account_an_address():
    UserFactory(email="alice@example.com")

    with pytest.raises(Exception, match="user_email_is_unique_without_case"), transaction.atomic():
        User.objects.create_user("ALICE@example.com")
