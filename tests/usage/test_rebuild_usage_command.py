import datetime as dt

import pytest

from config.cli.run_lock import run_lock
from tests.conftest import owner_connection
from tests.factories import customer_with
from tests.ledger.running import run
from tests.ledger.tampering import tamper
from tests.usage.histories import eventful, prices
from tests.usage.metering import rolled_up
from usage.management.commands import rebuild_usage
from usage.models import DroppedMonth
from usage.services.retention import drop_old_months

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])
MARCH, APRIL = dt.date(2026, 3, 1), dt.date(2026, 4, 1)
WHOLE_YEAR = ("--from", "2026-01-01", "--to", "2026-12-31")


@pytest.fixture
def alice(transactional_db):
    prices()
    return eventful("alice@example.com")


def spoil(where="true"):
    tamper(f"UPDATE usage_dailyusage SET successful = successful + 1 WHERE {where}")


def test_wrong_sums_are_rebuilt_from_the_log(alice):
    before = rolled_up(alice)
    spoil()
    tamper("DELETE FROM usage_dailyusage WHERE endpoint = '*'")

    ran = run("rebuild_usage", *WHOLE_YEAR, "--json")

    assert (ran.code, ran.json["changed"]) == (0, len(before))
    assert rolled_up(alice) == before
    assert run("rebuild_usage", *WHOLE_YEAR, "--json").json["changed"] == 0


def test_every_day_that_the_range_touches_is_rebuilt_as_a_whole_and_no_other(alice):
    spoil("day < '2026-05-01'")

    touched = run("rebuild_usage", "--from", "2026-03-01T18:00", "--to", "2026-03-02T00:00:00.000001", "--json").json
    rest = run("rebuild_usage", "--from", "2026-03-01", "--to", "2026-04-30", "--json").json

    assert (touched["from"], touched["to"], touched["days"]) == ("2026-03-01", "2026-03-03", 2)
    assert touched["changed"] == 2
    assert rest["changed"] == 2


def test_one_customer_is_rebuilt_alone(alice):
    bob = eventful("bob@example.com")
    spoil()

    run("rebuild_usage", *WHOLE_YEAR, "--user", "BOB@example.com")

    assert run("rebuild_usage", *WHOLE_YEAR, "--user", bob.pk, "--json").json["changed"] == 0
    assert run("rebuild_usage", *WHOLE_YEAR, "--user", alice.pk, "--json").json["changed"] > 0


def test_a_dry_run_counts_and_changes_nothing(alice):
    spoil()
    before = rolled_up(alice)

    dry = run("rebuild_usage", *WHOLE_YEAR, "--dry-run", "--json").json

    assert rolled_up(alice) == before
    assert run("rebuild_usage", *WHOLE_YEAR, "--json").json == dry | {"dry_run": False}


@pytest.mark.parametrize("user", [(), ("--user", "alice@example.com")])
def test_a_range_whose_log_was_dropped_is_refused_and_nothing_changes(alice, user):
    drop_old_months(now=dt.datetime(2026, 4, 1, tzinfo=dt.UTC) + dt.timedelta(days=30 * 500), keep_months=480)
    assert list(DroppedMonth.objects.values_list("month", flat=True))[:2] == [MARCH, APRIL]
    spoil()
    before = rolled_up(alice)

    ran = run("rebuild_usage", *WHOLE_YEAR, *user)

    assert (ran.code, ran.out) == (1, "")
    assert ran.err.startswith("The log of 2026-03, 2026-04")
    assert rolled_up(alice) == before


def test_a_range_whose_partition_was_dropped_by_hand_is_refused_too(alice):
    with owner_connection(autocommit=True) as owner:
        owner.execute("DROP TABLE usage_requestlog_2026_03")

    ran = run("rebuild_usage", "--from", "2026-03-31", "--to", "2026-04-30")
    refused = run("rebuild_usage", "--from", "2026-03-02", "--to", "2026-03-02")

    assert ran.code == 0  # that day of March has no sums either
    assert (refused.code, refused.err[:18]) == (1, "The log of 2026-03")


def test_ranges_that_were_never_used_are_quickly_done(alice):
    assert run("rebuild_usage", "--from", "2000-01-01", "--to", "2020-12-31", "--json").json["days"] == 0


def test_a_range_must_have_an_end_after_its_start(alice):
    assert run("rebuild_usage", "--from", "2026-03-02", "--to", "2026-03-01").code == 2
    assert run("rebuild_usage", "--from", "2026-03-02").code == 2


def test_an_unknown_customer_is_an_error(alice):
    customer_with(1)

    assert run("rebuild_usage", *WHOLE_YEAR, "--user", "nobody@example.com").code == 1


def test_two_runs_do_not_work_at_once(alice, monkeypatch):
    monkeypatch.setattr(rebuild_usage, "run_lock", lambda name: run_lock(name, wait_seconds=0.1))

    with run_lock("rebuild_usage"):
        assert run("rebuild_usage", *WHOLE_YEAR).code == 4
