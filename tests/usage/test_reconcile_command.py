import functools

import pytest

from config.cli.run_lock import run_lock
from ledger.models import Entry
from ledger.selectors import balance_of
from tests.factories import UserFactory, customer_with
from tests.ledger.running import run
from tests.ledger.tampering import tamper
from tests.usage.histories import eventful, prices
from tests.usage.metering import rolled_up
from usage.management.commands import reconcile

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def alice(transactional_db):
    prices()
    return eventful("alice@example.com")


def drift(user, credits=1):
    tamper(f"UPDATE ledger_balance SET balance = balance + {credits} WHERE user_id = {user.pk}")


def spoil_sums(user):
    tamper(f"UPDATE usage_dailyusage SET successful = successful + 1 WHERE user_id = {user.pk}")


def test_without_findings_it_is_silent_and_content(alice):
    ran = run("reconcile", "--json")

    assert (ran.code, ran.err) == (0, "")
    assert list(ran.json) == ["checked", "findings"]
    assert ran.json["findings"] == []
    assert ran.json["checked"]["entries"] == Entry.objects.count()


def test_findings_are_exit_3_with_all_of_them_on_stdout(alice):
    before = balance_of(user_id=alice.pk).balance
    drift(alice, "1.5")

    ran = run("reconcile", "--json")

    (finding,) = ran.json["findings"]
    assert ran.code == 3
    assert ran.err == "1 finding."
    assert (finding["check"], finding["user_id"]) == ("balance_is_last_entry", alice.pk)
    assert (finding["balance"], finding["expected"]) == (float(before) + 1.5, float(before))
    assert "entries end with" in finding["detail"]


def test_days_and_amounts_of_findings_are_json(alice):
    spoil_sums(alice)

    ran = run("reconcile", "--json")

    days = {finding["day"] for finding in ran.json["findings"]}
    assert {"2026-03-01", "2026-03-02"} <= days
    assert {finding["check"] for finding in ran.json["findings"]} == {"sums_are_the_log"}


def test_people_read_a_line_for_each_finding_and_a_verdict(alice):
    drift(alice)

    ran = run("reconcile")

    finding, verdict = ran.out.splitlines()
    assert finding.startswith(f"balance_is_last_entry · user {alice.pk}: The balance is ")
    assert verdict.startswith("Checked 1 balances, ")
    assert verdict.endswith(": 1 findings.")


def test_looking_changes_nothing(alice):
    drift(alice)
    spoil_sums(alice)
    first = run("reconcile", "--json")

    assert run("reconcile", "--json").out == first.out


def test_fix_rebuilds_the_sums(alice):
    before = rolled_up(alice)
    spoil_sums(alice)

    ran = run("reconcile", "--fix", "--json")

    assert (ran.code, ran.json["findings"], ran.json["fixed"]) == (0, [], len(before))
    assert ran.err == f"{len(before)} daily sums made anew from the log.\n"
    assert rolled_up(alice) == before


def test_fix_alone_leaves_balances_as_they_are(alice):
    drift(alice)

    ran = run("reconcile", "--fix", "--json")

    assert (ran.code, len(ran.json["findings"]), ran.json["fixed"]) == (3, 1, 0)


def test_fix_balances_posts_a_correcting_entry_and_then_all_is_silent(alice):
    bob = customer_with(10)
    drift(alice, "2.5")
    drift(bob, "-2.5")
    spoil_sums(alice)

    ran = run("reconcile", "--fix", "--fix-balances", "--json")

    corrections = Entry.objects.filter(reason="correction")
    assert (ran.code, ran.json["findings"]) == (0, [])
    assert {(one.user, float(one.amount)) for one in corrections} == {(alice, 2.5), (bob, -2.5)}
    assert run("reconcile", "--fix", "--fix-balances", "--json").json["fixed"] == 0
    assert corrections.count() == 2


def test_findings_beyond_repair_stay(alice):
    tamper(f"UPDATE ledger_entry SET description = 'x' WHERE seq = 2 AND user_id = {alice.pk}")

    ran = run("reconcile", "--fix", "--fix-balances", "--json")

    assert (ran.code, ran.json["fixed"]) == (3, 0)
    assert [finding["check"] for finding in ran.json["findings"]] == ["seal_fits_entry"]


def test_one_customer_is_checked_and_mended_alone(alice):
    bob = customer_with(10, email="bob@example.com")
    drift(alice)
    drift(bob)

    ran = run("reconcile", "--user", "BOB@example.com", "--fix", "--fix-balances", "--json")

    assert (ran.code, ran.json["checked"]["balances"]) == (0, 1)
    assert [finding["user_id"] for finding in run("reconcile", "--json").json["findings"]] == [alice.pk]
    assert run("reconcile", "--user", str(alice.pk), "--json").code == 3


def test_since_narrows_what_is_looked_at(alice):
    ran = run("reconcile", "--since", "2100-01-01", "--json")

    assert (ran.code, ran.json["checked"]["entries"], ran.json["checked"]["requests"]) == (0, 0, 0)


def test_an_empty_installation_is_in_order(transactional_db):
    UserFactory()

    ran = run("reconcile", "--json")

    assert (ran.code, ran.json["checked"]["balances"]) == (0, 0)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--fix-balances"], 2),
        (["--since", "yesterday"], 2),
        (["--since", ""], 2),
        (["--unknown"], 2),
        (["--user", "nobody@example.com"], 1),
        (["--user", "987654321"], 1),
    ],
)
def test_wrong_usage_and_unknown_customers(transactional_db, arguments, code):
    ran = run("reconcile", *arguments, "--json")

    assert (ran.code, ran.out) == (code, "")


def test_two_do_not_mend_at_once(alice, monkeypatch):
    monkeypatch.setattr(reconcile, "run_lock", functools.partial(run_lock, wait_seconds=0.1))

    with run_lock("reconcile --fix"):
        assert run("reconcile", "--fix", "--json").code == 4
        assert run("reconcile", "--json").code == 0
