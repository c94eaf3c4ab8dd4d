import pytest

from accounts.models import User
from ledger.models import Entry
from ledger.selectors import balance_of
from tests.factories import UserFactory
from tests.ledger.running import run

pytestmark = pytest.mark.django_db


def test_a_customer_is_created_and_printed(capsys):
    ran = run("create_customer", "New@Example.com", "--full-name", "Néw Person", "--json")

    user = User.objects.get(email="New@Example.com")
    assert (ran.code, ran.err) == (0, "")
    assert ran.json == {"user_id": user.pk, "email": "New@Example.com"}
    assert (user.full_name, user.is_staff, user.is_superuser) == ("Néw Person", False, False)
    assert not user.has_usable_password()
    assert capsys.readouterr() == ("", "")


def test_the_output_without_json_is_names_and_values():
    ran = run("create_customer", "new@example.com")

    assert ran.out == f"user_id: {User.objects.get().pk}\nemail: new@example.com\n"


def test_credits_are_posted_as_one_grant():
    user_id = run("create_customer", "new@example.com", "--credits", "12.5", "--json").json["user_id"]

    entry = Entry.objects.get(user_id=user_id)
    assert (entry.type, entry.reason, entry.amount) == ("credit", "grant", balance_of(user_id=user_id).balance)
    assert str(entry.amount) == "12.500000"


def test_the_password_comes_from_the_environment(monkeypatch):
    monkeypatch.setenv("NEW_PASSWORD", "a secret of her own")

    run("create_customer", "new@example.com", "--password-env", "NEW_PASSWORD")

    assert User.objects.get().check_password("a secret of her own")


@pytest.mark.parametrize("value", [None, ""])
def test_a_missing_password_creates_no_customer(monkeypatch, value):
    monkeypatch.delenv("NEW_PASSWORD", raising=False)
    if value is not None:
        monkeypatch.setenv("NEW_PASSWORD", value)

    ran = run("create_customer", "new@example.com", "--password-env", "NEW_PASSWORD", "--json")

    assert (ran.code, ran.out) == (1, "")
    assert "NEW_PASSWORD" in ran.err
    assert not User.objects.exists()


@pytest.mark.parametrize("email", ["taken@example.com", "TAKEN@example.COM"])
def test_an_email_is_used_once_in_whatever_case(email):
    UserFactory(email="taken@example.com")

    ran = run("create_customer", email, "--credits", "5", "--json")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.count("\n") == 0
    assert "already exists" in ran.err
    assert User.objects.count() == 1
    assert not Entry.objects.exists()


@pytest.mark.parametrize("email", ["nobody", "a b@example.com", "@example.com", f"{'x' * 250}@example.com"])
def test_an_invalid_email_is_an_error(email):
    ran = run("create_customer", email, "--json")

    assert (ran.code, ran.out) == (1, "")
    assert not User.objects.exists()


@pytest.mark.parametrize("credits", ["0", "-1", "1e3", "NaN", "1.0000001", "1_000", "١", "", "1000000000"])
def test_an_invalid_amount_is_wrong_usage(credits):
    ran = run("create_customer", "new@example.com", f"--credits={credits}", "--json")

    assert (ran.code, ran.out) == (2, "")
    assert "--credits" in ran.err
    assert not User.objects.exists()


@pytest.mark.parametrize("arguments", [[], [""], ["a@example.com", "b@example.com"], ["a@example.com", "--unknown"]])
def test_wrong_usage_is_exit_2(arguments):
    assert run("create_customer", *arguments).code == 2
