import pytest

from ledger.models import Entry
from ledger.selectors import balance_of
from tests.factories import StaffFactory
from tests.ledger.running import run

pytestmark = pytest.mark.django_db


def adjust(amount, *, key="k", reason="goodwill", note="Sorry for the outage", actor="clerk@example.com", flags=()):
    return run(
        "adjust_credits",
        *("--reason", reason, "--note", note, "--actor", actor, "--idempotency-key", key, "--json", *flags),
        *("--", "alice@example.com", amount),
    )


@pytest.mark.parametrize(("amount", "after"), [("5.5", 105.5), ("-5.5", 94.5), ("-100", 0)])
def test_an_adjustment_is_signed_and_says_why(alice, clerk, amount, after):
    ran = adjust(amount, reason="correction")

    entry = Entry.objects.get(type="adjustment")
    assert (ran.code, ran.err) == (0, "")
    assert (ran.json["id"], ran.json["type"], ran.json["balance_after"]) == (entry.pk, "adjustment", after)
    assert ran.json["amount"] == float(amount)
    assert ran.json["description"] == "Sorry for the outage"
    assert (entry.reason, entry.actor) == ("correction", clerk)


def test_a_negative_amount_needs_no_escaping(alice, clerk):
    ran = run(
        *("adjust_credits", "alice@example.com", "-5", "--reason", "goodwill", "--note", "n"),
        *("--actor", "clerk@example.com", "--idempotency-key", "k"),
    )

    assert ran.code == 0
    assert balance_of(user_id=alice.pk).balance == 95


def test_repetition_posts_nothing_and_says_so_on_stderr(alice, clerk):
    first = adjust("-5")

    again = adjust("-5.0")

    assert (again.code, again.json) == (0, first.json)
    assert "nothing was posted" in again.err
    assert balance_of(user_id=alice.pk).balance == 95


@pytest.mark.parametrize("change", [{"amount": "6"}, {"note": "other"}, {"reason": "correction"}], ids=", ".join)
def test_another_payload_under_the_key_is_an_error(alice, clerk, change):
    adjust("5")

    ran = adjust(**{"amount": "5"} | change)

    assert (ran.code, ran.out) == (1, "")
    assert balance_of(user_id=alice.pk).balance == 105


def test_more_than_is_available_is_an_error_with_both_numbers(alice, clerk):
    ran = adjust("-100.5")

    assert (ran.code, ran.out) == (1, "")
    assert "100 credit(s) remaining" in ran.err
    assert "requires 100.5 credit(s)" in ran.err


@pytest.mark.parametrize(
    "made", [{"is_staff": False}, {"is_active": False}], ids=["a customer", "somebody who has left"]
)
def test_the_actor_is_an_active_member_of_the_staff(alice, made):
    StaffFactory(email="former@example.com", **made)

    ran = adjust("5", actor="former@example.com")

    assert (ran.code, ran.out) == (1, "")
    assert ran.err == "former@example.com is not an active member of the staff."
    assert balance_of(user_id=alice.pk).balance == 100


@pytest.mark.parametrize("unknown", ["actor", "customer"])
def test_unknown_customers_and_actors_are_an_error(alice, clerk, unknown):
    if unknown == "customer":
        ran = run(
            *("adjust_credits", "nobody@example.com", "5", "--reason", "goodwill", "--note", "n"),
            *("--actor", "clerk@example.com", "--idempotency-key", "k"),
        )
    else:
        ran = adjust("5", actor="nobody@example.com")

    assert ran.code == 1
    assert "nobody@example.com" in ran.err


@pytest.mark.parametrize(
    "change",
    [
        {"amount": "0"},
        {"amount": "1e2"},
        {"amount": "-1.0000001"},
        {"reason": "grant"},
        {"reason": "usage"},
        {"note": " "},
        {"note": ""},
        {"note": "nul \x00"},
        {"key": ""},
        {"key": "\n"},
    ],
)
def test_wrong_usage_is_exit_2_and_changes_nothing(alice, clerk, change):
    ran = adjust(**{"amount": "5"} | change)

    assert (ran.code, ran.out) == (2, "")
    assert balance_of(user_id=alice.pk).balance == 100
