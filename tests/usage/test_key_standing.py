"""The state of a key's spending limit, in refusals, verdicts, the customer's list and the staff's page."""

import csv
import datetime as dt
import io
from decimal import Decimal

import pytest
from django.utils import timezone

from accounts.models import ApiKey
from accounts.services.keys.limits import KeyLimits
from ledger.errors import InsufficientCredits
from tests.account import client_of
from tests.backoffice import page_of, signed_in, superuser
from tests.factories import ApiKeyFactory
from tests.usage.batches import asked
from tests.usage.metering import price
from usage.services.charges.calls import charge_together
from usage.standings import budget_of

pytestmark = pytest.mark.django_db
KEYS = "/auth/account/api-keys"


@pytest.fixture
def key(alice):
    price("search", 1)
    return ApiKeyFactory(user=alice, limits=KeyLimits(spending_limit=Decimal(5)))


def next_month():
    today = timezone.now().date()
    first = (today.replace(day=1) + dt.timedelta(days=32)).replace(day=1)
    return f"{first}T00:00:00Z"


def test_a_refused_charge_returns_limit_spent_held_and_reset_time(gateway, key):
    gateway.post("/v2/charges", {"api_key": key.raw, "credits": "1.5", "endpoint": "search"})
    gateway.post("/v2/holds", {"api_key": key.raw, "credits": 2})

    answer = gateway.post("/v2/charges", {"api_key": key.raw, "endpoint": "search", "credits": 6})

    said = answer.json()
    assert (answer.status_code, said["code"], said["reason"]) == (402, "insufficient_credits", "key_limit")
    assert (said["credits_required"], said["credits_available"], said["credits_reserved"]) == (6, 96.5, 2)
    assert said["budget"] == {
        "scope": "api_key", "window": "month", "limit": 5, "spent": 1.5, "held": 2, "resets_at": next_month()
    }  # fmt: skip
    assert "96.5" not in said["detail"]
    for part in ("spending limit is 5 credit(s)", "1.5 credit(s) are spent", "requires 6 credit(s)", next_month()):
        assert part in said["detail"]


def test_a_refused_hold_says_the_same(gateway, key):
    gateway.post("/v2/charges", {"api_key": key.raw, "credits": 3, "endpoint": "search"})

    said = gateway.post("/v2/holds", {"api_key": key.raw, "credits": 3}).json()

    assert (said["reason"], said["budget"]["limit"], said["budget"]["spent"]) == ("key_limit", 5, 3)
    assert said["budget"]["resets_at"] == next_month()


def test_charges_together_say_what_was_spent_when_each_was_refused(key):
    named = {"key": ApiKey.objects.get(pk=key.api_key.pk)}

    rows = charge_together([asked(units=Decimal(units), **named) for units in (2, 4, 1, 3)])

    assert [row.outcome for row in rows] == ["charged", "insufficient", "charged", "insufficient"]
    assert [budget_of(row.limits).spent for row in (rows[1], rows[3])] == [2, 3]


def test_other_refusals_say_nothing_of_a_limit(gateway, alice, key):
    said = gateway.post("/v2/charges", {"user_id": alice.pk, "endpoint": "search", "units": 101}).json()

    assert (said["reason"], "budget" in said) == ("spent", False)
    assert said["detail"] == (
        "Insufficient credits. You have 100 credit(s) remaining, but this request requires 101 credit(s)."
    )


def test_a_verdict_says_it_of_a_key_with_a_limit_alone(gateway, alice, key):
    gateway.post("/v2/charges", {"api_key": key.raw, "credits": 2, "endpoint": "search"})

    said = gateway.post("/v2/keys/verify", {"api_key": key.raw}, key=None).json()
    other = gateway.post("/v2/keys/verify", {"api_key": ApiKeyFactory(user=alice).raw}, key=None).json()

    assert said["budget"] == {
        "scope": "api_key", "window": "month", "limit": 5, "spent": 2, "held": 0, "resets_at": next_month()
    }  # fmt: skip
    assert "budget" not in other


class TestTheCustomersKeys:
    def test_keys_show_what_was_spent_and_when_they_reset(self, gateway, alice, key):
        gateway.post("/v2/charges", {"api_key": key.raw, "credits": "2.25", "endpoint": "search"})
        unlimited = ApiKeyFactory(user=alice)

        rows = {row["id"]: row for row in client_of(alice).get(KEYS).json()["results"]}

        limited = rows[key.api_key.pk]
        assert (limited["spending_limit"], limited["spent"], limited["resets_at"]) == (5, 2.25, next_month())
        other = rows[unlimited.api_key.pk]
        assert (other["spending_limit"], other["spent"], other["resets_at"]) == (None, None, None)

    def test_keys_show_it_in_csv_too(self, gateway, alice, key):
        gateway.post("/v2/charges", {"api_key": key.raw, "credits": "2.25", "endpoint": "search"})

        answer = client_of(alice).get(KEYS, {"format": "csv"})

        (row,) = csv.DictReader(io.StringIO(b"".join(answer).decode()))
        assert (row["spent"], row["resets_at"]) == ("2.25", next_month())

    def test_keys_show_it_when_they_are_made_changed_and_rotated(self, gateway, alice, key):
        gateway.post("/v2/charges", {"api_key": key.raw, "credits": 2, "endpoint": "search"})
        client = client_of(alice)
        path = f"{KEYS}/{key.api_key.pk}"

        made = client.post(KEYS, {"name": "a", "scopes": ["account:read"], "spending_limit": 3}, format="json").json()
        changed = client.patch(path, {"spending_limit": 4}, format="json").json()
        rotated = client.post(f"{path}/rotate", {}, format="json").json()

        assert [each["spent"] for each in (made, changed, rotated)] == [0, 2, 2]
        assert {each["resets_at"] for each in (made, changed, rotated)} == {next_month()}


def test_the_page_of_a_key_shows_staff_when_it_resets(key):
    said = signed_in(superuser()).get(page_of("accounts_apikey", key.api_key.pk)).content.decode()

    assert f"anew on {next_month()[:10]}" in said


def test_a_refusal_without_a_budget_reads_as_before():
    refusal = InsufficientCredits(Decimal(10), Decimal(5), Decimal(0), "spent")

    assert "budget" not in refusal.extra
    assert (
        str(refusal) == "Insufficient credits. You have 5 credit(s) remaining, but this request requires 10 credit(s)."
    )
