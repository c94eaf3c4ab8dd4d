import pytest

from ledger.models import Entry, Grant
from ledger.selectors import balance_of
from tests.ledger.running import run

pytestmark = pytest.mark.django_db


def grant(*arguments, key="k"):
    return run("grant_credits", *arguments, "--reason", "purchase", "--idempotency-key", key, "--json")


def test_a_purchase_is_an_entry_of_type_credit(bob):
    ran = grant("bob@example.com", "12.50", "--reference", "order 7")

    entry = Entry.objects.get(user=bob)
    assert (ran.code, ran.err) == (0, "")
    assert (entry.reason, entry.actor) == ("purchase", None)
    assert ran.json == {
        "id": entry.pk,
        "user_id": bob.pk,
        "type": "credit",
        "amount": 12.5,
        "balance_after": 12.5,
        "description": "Credits purchased",
        "reference": "order 7",
        "metadata": {},
        "created_at": ran.json["created_at"],
    }
    assert ran.json["created_at"].endswith("Z")
    assert '"amount":12.5,' in ran.out.replace(" ", "")


def test_a_customer_is_named_by_id_or_by_email_in_any_case(bob):
    grant(bob.pk, "1", key="1")
    grant("BOB@example.com", "1", key="2")

    assert balance_of(user_id=bob.pk).balance == 2


def test_repetition_posts_nothing_and_says_so_on_stderr(bob):
    first = grant("bob@example.com", "3")

    again = grant("bob@example.com", "3.000")

    assert (again.code, again.json) == (0, first.json)
    assert again.err == "This key was used before: the entry made then is shown, nothing was posted.\n"
    assert balance_of(user_id=bob.pk).balance == 3


def test_another_payload_under_the_key_is_an_error_and_changes_nothing(bob):
    grant("bob@example.com", "3")

    ran = grant("bob@example.com", "4")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "This idempotency key was already used with another payload."
    assert balance_of(user_id=bob.pk).balance == 3


def test_an_unknown_customer_is_an_error(db):
    ran = grant("nobody@example.com", "3")

    assert (ran.code, ran.out) == (1, "")
    assert "nobody@example.com" in ran.err


def test_more_than_a_balance_holds_is_an_error(bob):
    grant("bob@example.com", "999999999.999999", key="1")

    ran = grant("bob@example.com", "0.000001", key="2")

    assert (ran.code, ran.out) == (1, "")
    assert "999999999.999999" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["bob@example.com", "5", "--reason", "gift", "--idempotency-key", "k"],
        ["bob@example.com", "5", "--reason", "grant"],
        ["bob@example.com", "5", "--idempotency-key", "k"],
        ["bob@example.com", "0", "--reason", "grant", "--idempotency-key", "k"],
        ["bob@example.com", "--reason=grant", "--idempotency-key=k", "--", "-5"],
        ["bob@example.com", "1.1234567", "--reason", "grant", "--idempotency-key", "k"],
        ["bob@example.com", "5", "--reason", "grant", "--idempotency-key", ""],
        ["bob@example.com", "5", "--reason", "grant", "--idempotency-key", "schlüssel"],
        ["bob@example.com", "5", "--reason", "grant", "--idempotency-key", "k" * 256],
        ["bob@example.com", "5", "--reason", "grant", "--idempotency-key", "k", "--reference", " "],
    ],
)
def test_wrong_usage_is_exit_2_and_changes_nothing(bob, arguments):
    ran = run("grant_credits", *arguments)

    assert (ran.code, ran.out) == (2, "")
    assert not Entry.objects.exists()


def test_a_grant_accepts_its_own_grant_terms(bob):
    ran = grant(
        "bob@example.com", "5", "--expires-at", "2100-01-01", "--effective-at", "2026-01-01T12:00Z",
        "--category", "promotional", "--priority", "7",
    )  # fmt: skip

    stored = Grant.objects.get(user=bob)
    assert (ran.code, ran.json["id"], stored.amount) == (0, stored.pk, 5)
    assert (stored.category, stored.priority) == ("promotional", 7)
    assert (stored.effective_at.isoformat(), stored.expires_at.isoformat()) == (
        "2026-01-01T12:00:00+00:00",
        "2100-01-01T00:00:00+00:00",
    )


def test_repetition_with_other_terms_is_another_payload(bob):
    grant("bob@example.com", "5", "--expires-at", "2100-01-01")

    assert grant("bob@example.com", "5", "--expires-at", "2100-01-01").code == 0
    assert grant("bob@example.com", "5", "--expires-at", "2100-01-02").code == 1
    assert grant("bob@example.com", "5").code == 1


@pytest.mark.parametrize("option", [("--expires-at", "2020-01-01"), ("--effective-at", "2099-01-01")])
def test_credits_that_have_expired_or_begin_later_are_refused(bob, option):
    ran = grant("bob@example.com", "5", *option)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "Credits may neither begin to count later than now nor expire before."
    assert not Entry.objects.exists()


@pytest.mark.parametrize(
    "option", [("--priority", "101"), ("--priority", "-1"), ("--category", "free"), ("--expires-at", "soon")]
)
def test_invalid_terms_are_wrong_usage(bob, option):
    assert grant("bob@example.com", "5", *option).code == 2
