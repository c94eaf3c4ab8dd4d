"""`create_api_key` and `revoke_api_key`."""

import io
import json
from decimal import Decimal

import pytest
from django.core.management import CommandError, call_command
from django.utils import timezone

from accounts.models import ApiKey
from accounts.services.keys.api_keys import authenticate_api_key
from tests.factories import ApiKeyFactory, UserFactory

pytestmark = pytest.mark.django_db


def run(*arguments):
    """Run a command as from a shell; return its exit code, its stdout, and the sentence of its refusal."""
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(*arguments, stdout=out, stderr=err)
    except CommandError as refusal:
        return refusal.returncode, out.getvalue(), str(refusal)
    return 0, out.getvalue(), err.getvalue()


def created(*arguments):
    code, out, _ = run("create_api_key", *arguments, "--json")
    assert code == 0
    return json.loads(out)


@pytest.mark.parametrize("by", ["email", "id"])
def test_a_customer_gets_a_key_that_works(by):
    user = UserFactory(email="Alice@example.com")

    made = created(
        "--user", "alice@EXAMPLE.com" if by == "email" else str(user.pk), "--name", "x", "--scope", "account:read"
    )

    api_key = authenticate_api_key(made["key"], now=timezone.now())
    assert list(made) == ["id", "key", "prefix", "last4", "scopes"]
    assert (made["id"], made["prefix"], made["last4"]) == (api_key.pk, api_key.prefix, api_key.last4)
    assert made["scopes"] == ["account:read"]
    assert len(made["prefix"]) == 12
    assert (api_key.user, api_key.name, api_key.expires_at) == (user, "x", None)


def test_a_service_gets_a_key_without_a_customer():
    made = created("--service", "gateway", "--scope", "metering")

    api_key = authenticate_api_key(made["key"], now=timezone.now())
    assert (api_key.user, api_key.name, api_key.scopes) == (None, "gateway", ["metering"])


def test_each_run_makes_another_key():
    arguments = ("--service", "gateway", "--scope", "metering")

    assert created(*arguments)["key"] != created(*arguments)["key"]


def test_a_scope_named_twice_counts_once():
    assert created("--service", "g", "--scope", "metering", "--scope", "metering")["scopes"] == ["metering"]


def test_a_key_may_be_given_an_end():
    created("--service", "gateway", "--scope", "metering", "--expires-in-days", "30")

    api_key = ApiKey.objects.get()
    assert (api_key.expires_at - api_key.created_at).days == 30


def test_a_key_may_be_given_a_rate_of_its_own():
    UserFactory(email="alice@example.com")

    created("--service", "gateway", "--scope", "metering", "--rate-limit-per-minute", "9000")
    created("--user", "alice@example.com", "--name", "x", "--scope", "account:read", "--rate-limit-per-minute", "7")

    assert list(ApiKey.objects.order_by("pk").values_list("rate_limit_per_minute", flat=True)) == [9_000, 7]


def test_a_customers_key_may_be_given_a_spending_limit():
    UserFactory(email="alice@example.com")
    asked = ("--user", "alice@example.com", "--name", "x", "--scope", "account:read")

    created(*asked, "--spending-limit", "12.5", "--spending-reset-day", "31")
    created(*asked)

    limits = ApiKey.objects.order_by("pk").values_list("spending_limit", "spending_reset_day")
    assert list(limits) == [(Decimal("12.5"), 31), (None, 1)]


def test_people_read_the_same_line_by_line():
    code, out, err = run("create_api_key", "--service", "gateway", "--scope", "metering")

    assert code == 0
    assert "key: tb_live_" in out
    assert err == "Keep the key now: it cannot be shown again.\n"


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (
            ["--user", "alice@example.com", "--name", "x", "--scope", "metering"],
            1,
            "metering is not for a customer's key.",
        ),
        (["--user", "nobody@example.com", "--name", "x", "--scope", "account:read"], 1, "No user has the email or id"),
        (["--user", "alice@example.com", "--name", "", "--scope", "account:read"], 1, "A key needs a name"),
        (["--service", "x", "--scope", "account:read"], 1, "account:read is not for a service key."),
        (["--user", "alice@example.com", "--name", "x", "--scope", "read"], 2, "invalid choice: 'read'"),
        (["--user", "alice@example.com", "--name", "x"], 2, "--scope"),
        (["--user", "alice@example.com", "--scope", "account:read"], 2, "--user also needs --name."),
        (["--user", "a", "--service", "b", "--scope", "metering"], 2, "not allowed with"),
        (["--service", "b", "--name", "c", "--scope", "metering"], 2, "leave out --name"),
        (["--scope", "metering"], 2, "--user --service"),
        (["--service", "b", "--scope", "metering", "--expires-in-days", "0"], 2, "from 1 to 36500"),
        (["--service", "b", "--scope", "metering", "--expires-in-days", "1.5"], 2, "from 1 to 36500"),
        (["--service", "b", "--scope", "metering", "--rate-limit-per-minute", "0"], 2, "from 1 to 1000000000"),
        (["--service", "b", "--scope", "metering", "--rate-limit-per-minute", "x"], 2, "from 1 to 1000000000"),
        (["--service", "b", "--scope", "metering", "--spending-limit", "1"], 1, "A service key spends nothing"),
        (["--service", "b", "--scope", "metering", "--spending-limit", "0"], 2, "must not be 0"),
        (["--service", "b", "--scope", "metering", "--spending-reset-day", "32"], 2, "from 1 to 31"),
        (["--service", "b", "--scope", "metering", "--expires-in-days", "9" * 5000], 2, "from 1 to 36500"),
    ],
)
def test_an_invalid_key_is_refused_in_a_sentence(arguments, code, sentence):
    UserFactory(email="alice@example.com")

    answered, out, refusal = run("create_api_key", *arguments)

    assert (answered, out) == (code, "")
    assert sentence in refusal
    assert not ApiKey.objects.exists()


@pytest.mark.parametrize("start", ["", "tb_live_"])
def test_a_key_is_revoked_by_its_prefix(start):
    api_key = ApiKeyFactory().api_key
    other = ApiKeyFactory().api_key

    code, out, _ = run("revoke_api_key", start + api_key.prefix, "--json")

    api_key.refresh_from_db()
    other.refresh_from_db()
    assert code == 0
    assert json.loads(out)["prefix"] == api_key.prefix
    assert api_key.revoked_at is not None
    assert other.revoked_at is None


def test_revoking_twice_changes_nothing():
    api_key = ApiKeyFactory().api_key

    outcomes = [run("revoke_api_key", api_key.prefix, "--json") for _ in range(2)]

    assert outcomes[0] == outcomes[1]


def test_an_unknown_prefix_is_an_error():
    assert run("revoke_api_key", "x" * 12) == (1, "", "No API key has this prefix.")
