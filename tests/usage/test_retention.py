"""Months of the log are created ahead and dropped in time, and checks and statistics hold afterwards."""

import datetime as dt
from decimal import Decimal

import pytest
import time_machine
from django.db import OperationalError, transaction

from tests.accounts.races import at_once
from tests.conftest import owner_connection
from tests.factories import customer_with
from tests.ledger.running import run
from tests.ledger.tampering import tamper
from tests.usage.metering import charge, price, report, request_at, rolled_up
from usage.models import DroppedMonth, ImportedLine, RequestLog
from usage.selectors import log_months, usage_of
from usage.services import retention
from usage.services.imports.recording import Line, record_lines
from usage.services.reconciliation import Scope, reconcile
from usage.services.retention import drop_old_months, make_months_ahead, months_earlier

pytestmark = pytest.mark.django_db(transaction=True, databases=["default", "owner"])
DAY = dt.timedelta(days=1)
JANUARY, FEBRUARY, MARCH = (dt.datetime(2025, month, 1, tzinfo=dt.UTC) for month in (1, 2, 3))
NOON = dt.timedelta(hours=12)
LONG_AFTER = dt.datetime(2030, 7, 15, tzinfo=dt.UTC)
LATELY = "UPDATE usage_requestlog SET recorded_at = '2030-07-01Z' WHERE occurred_at >= '2025-02-01Z' AND mod(id, 2) = 0"


@pytest.fixture
def no_months(transactional_db):
    """Start without any partition; those of a test are dropped after it."""
    _drop_all()
    yield
    _drop_all()


@pytest.fixture
def alice(no_months):
    """A customer with one debit for requests of three months, and others that are free or failed."""
    price("search", 1)
    user = customer_with(1000, email="alice@example.com")
    days = [month + day * DAY + NOON for month in (JANUARY, FEBRUARY, MARCH) for day in (0, 9)]
    report(user, [request_at(at, status=status) for at in days for status in (200, 200, 404, 429)], charged=True)
    report(user, [request_at(FEBRUARY)], charged=True)
    return user


def _drop_all():
    with owner_connection(autocommit=True) as owner:
        for month in log_months():
            owner.execute(f"DROP TABLE usage_requestlog_{month:%Y_%m}")


def drop(keep_months=13, now=LONG_AFTER):
    return drop_old_months(now=now, keep_months=keep_months)


def named(months):
    return [f"{month:%Y-%m}" for month in months]


class TestMakingMonths:
    def test_this_month_and_the_next_ones_are_made(self, no_months):
        made = make_months_ahead(now=dt.datetime(2026, 11, 30, 23, 59, tzinfo=dt.UTC), ahead=3)

        assert named(made) == ["2026-11", "2026-12", "2027-01", "2027-02"] == named(log_months())

    def test_months_that_are_there_stay(self, no_months):
        make_months_ahead(now=MARCH, ahead=1)

        assert named(make_months_ahead(now=MARCH, ahead=2)) == ["2025-05"]
        assert make_months_ahead(now=MARCH, ahead=2) == []


@pytest.mark.parametrize(
    ("at", "months", "earlier"),
    [
        ("2026-11-21", 13, "2025-10-21"),
        ("2026-03-31", 1, "2026-02-28"),
        ("2024-03-31", 1, "2024-02-29"),
        ("2026-01-15", 1, "2025-12-15"),
        ("2026-12-15", -1, "2027-01-15"),
        ("2026-12-15", 24, "2024-12-15"),
    ],
)
def test_months_are_counted_by_the_calendar(at, months, earlier):
    day = dt.date.fromisoformat

    assert months_earlier(day(at), months).date() == day(earlier)


class TestDroppingMonths:
    def test_a_month_is_dropped_when_all_of_it_was_recorded_long_ago(self, alice):
        before = rolled_up(alice)

        dropped = drop()

        assert {f"{month:%Y-%m}": count for month, count in dropped.dropped.items()} == {
            "2025-01": 8, "2025-02": 9, "2025-03": 8,
        }  # fmt: skip
        assert log_months() == []
        assert RequestLog.objects.count() == 0
        assert rolled_up(alice) == before
        assert ImportedLine.objects.count() == 25
        assert DroppedMonth.objects.get(month=FEBRUARY).credits == 5

    def test_a_month_of_which_something_was_recorded_lately_is_kept(self, alice):
        tamper(LATELY)

        outcome = drop()

        assert (named(outcome.dropped), named(outcome.kept)) == (["2025-01"], ["2025-02", "2025-03"])
        assert named(log_months()) == ["2025-02", "2025-03"]

    def test_younger_months_stay_however_empty_they_are(self, alice):
        make_months_ahead(now=LONG_AFTER, ahead=2)
        make_months_ahead(now=months_earlier(LONG_AFTER, 13), ahead=1)

        drop()

        assert named(log_months()) == ["2029-06", "2029-07", "2030-07", "2030-08", "2030-09"]

    def test_an_empty_month_is_dropped_without_a_trace(self, no_months):
        make_months_ahead(now=JANUARY, ahead=1)

        assert list(drop().dropped.values()) == [0, 0]
        assert not DroppedMonth.objects.exists()

    def test_a_second_run_finds_nothing(self, alice):
        drop()

        assert drop() == retention.Maintained()

    def test_a_line_of_a_dropped_month_is_still_known(self, alice):
        drop()
        line = ImportedLine.objects.first()

        again = record_lines(
            user_id=alice.pk, source="test", lines=[Line(bytes(line.line_key), request_at(JANUARY))], charge=True
        )

        assert (again.accepted, again.duplicates) == (0, 1)

    def test_a_long_reader_of_the_log_is_left_alone(self, alice, monkeypatch):
        monkeypatch.setattr(retention, "TRIES", 1)

        with transaction.atomic():
            assert RequestLog.objects.count() == 25
            with pytest.raises(OperationalError, match="lock timeout"):
                drop()

        assert len(log_months()) == 3
        assert not DroppedMonth.objects.exists()

    def test_charges_go_on_meanwhile(self, alice):
        turns = iter(range(100))

        outcomes = at_once(4, lambda: drop() if next(turns) == 0 else [charge(alice) for _ in range(20)])

        assert [one for one in outcomes if isinstance(one, Exception)] == []
        assert len(log_months()) == 1
        assert reconcile(Scope())[1] == []


class TestReconcileAfterwards:
    def test_reconcile_is_silent(self, alice):
        tamper(LATELY)
        charge(alice)

        drop()

        assert named(log_months())[:2] == ["2025-02", "2025-03"]
        assert reconcile(Scope())[1] == []
        assert reconcile(Scope(user_id=alice.pk))[1] == []

    def test_reconcile_is_silent_when_a_late_import_has_started_a_month_again(self, alice):
        drop()

        report(alice, [request_at(FEBRUARY + 3 * DAY)] * 2, charged=True)

        assert named(log_months()) == ["2025-02"]
        assert reconcile(Scope())[1] == []
        assert run("reconcile", "--fix", "--json").json["findings"] == []

    def test_remaining_rows_are_still_compared(self, alice):
        tamper(LATELY)
        drop()

        tamper("UPDATE usage_dailyusage SET successful = successful + 1 WHERE day = '2025-03-01'")
        tamper("UPDATE usage_requestlog SET credits = credits + 100 WHERE credits > 0 AND occurred_at < '2025-03-01'")

        checks = {finding.check for finding in reconcile(Scope())[1]}
        assert checks == {"sums_are_the_log", "debit_is_its_requests"}

    def test_debits_that_were_made_later_are_compared_in_full(self, alice):
        drop()
        made = charge(alice)

        tamper(f"DELETE FROM usage_requestlog WHERE entry_id = {made.entry_id}")

        checks = {finding.check for finding in reconcile(Scope())[1]}
        assert checks == {"sums_are_the_log", "debit_is_its_requests"}

    def test_a_month_that_was_started_again_is_dropped_again(self, alice):
        drop()
        report(alice, [request_at(FEBRUARY)] * 2, charged=True)

        drop()

        assert DroppedMonth.objects.get(month=FEBRUARY).requests == 11
        assert reconcile(Scope())[1] == []


class TestWindowsAfterwards:
    def asked(self, alice, start, end):
        return usage_of(user_id=alice.pk, start=start, end=end, now=LONG_AFTER)

    def test_whole_days_stay_exact(self, alice):
        before = self.asked(alice, JANUARY, MARCH + DAY)
        drop()

        after = self.asked(alice, JANUARY, MARCH + DAY)

        assert after == before
        assert after.widened_to is None

    @pytest.mark.parametrize(
        ("start", "end", "widened"),
        [
            (JANUARY + dt.timedelta(hours=1), MARCH, (JANUARY, MARCH)),
            (JANUARY + dt.timedelta(hours=23), MARCH, (JANUARY, MARCH)),
            (JANUARY, FEBRUARY - NOON, (JANUARY, FEBRUARY)),
            (JANUARY + NOON, JANUARY + NOON + dt.timedelta(microseconds=1), (JANUARY, JANUARY + DAY)),
            (JANUARY + dt.timedelta(hours=1), JANUARY + dt.timedelta(hours=23), (JANUARY, JANUARY + DAY)),
        ],
    )
    def test_an_edge_in_a_dropped_month_takes_its_whole_day(self, alice, start, end, widened):
        exact = self.asked(alice, *widened)
        drop()

        usage = self.asked(alice, start, end)

        assert usage.widened_to == widened
        assert (usage.total, usage.credits, usage.by_endpoint) == (exact.total, exact.credits, exact.by_endpoint)
        assert usage.total > 0

    def test_only_the_edge_that_is_gone_is_moved(self, alice):
        tamper(LATELY)
        drop()

        usage = self.asked(alice, JANUARY + NOON, FEBRUARY + NOON)

        assert usage.widened_to == (JANUARY, FEBRUARY + NOON)
        assert usage.total == 7  # two days of January with three each, and the one at midnight of February

    def test_an_edge_in_a_month_that_is_kept_is_exact(self, alice):
        tamper(LATELY)
        drop()

        usage = self.asked(alice, JANUARY, FEBRUARY + NOON)

        assert (usage.total, usage.credits, usage.widened_to) == (7, Decimal(5), None)


class TestTheCommand:
    def test_output_lists_what_it_made_and_dropped(self, alice):
        with time_machine.travel(LONG_AFTER, tick=False):
            ran = run("maintain_partitions", "--ahead", 1, "--json")

        assert (ran.code, ran.err) == (0, "")
        assert ran.json == {
            "created": ["2030-07", "2030-08"],
            "dropped": [
                {"month": "2025-01", "requests": 8},
                {"month": "2025-02", "requests": 9},
                {"month": "2025-03", "requests": 8},
            ],
            "kept_for_late_requests": [],
            "dry_run": False,
        }

    def test_a_dry_run_says_the_same_and_changes_nothing(self, alice):
        tamper(LATELY)
        before = log_months()

        with time_machine.travel(LONG_AFTER, tick=False):
            dry = run("maintain_partitions", "--dry-run", "--json").json
            unchanged = log_months()
            wet = run("maintain_partitions", "--json").json

        assert unchanged == before
        assert dry | {"dry_run": False} == wet
        assert wet["kept_for_late_requests"] == ["2025-02", "2025-03"]

    def test_keep_months_sets_how_many_months_stay(self, alice):
        with time_machine.travel(LONG_AFTER, tick=False):
            assert run("maintain_partitions", "--keep-months", 100, "--json").json["dropped"] == []

    @pytest.mark.parametrize("option", ["--ahead", "--keep-months"])
    @pytest.mark.parametrize("value", ["0", "-1", "x", "1.5", "1201", "٣"])
    def test_invalid_numbers_are_wrong_usage(self, db, option, value):
        assert run("maintain_partitions", f"{option}={value}").code == 2

    def test_people_read_a_line_for_each_month(self, alice):
        with time_machine.travel(LONG_AFTER, tick=False):
            said = run("maintain_partitions", "--ahead", 1).out
            again = run("maintain_partitions", "--ahead", 1).out

        assert said.splitlines()[:3] == ["Created 2030-07.", "Created 2030-08.", "Dropped 2025-01: 8 requests."]
        assert again == "Nothing to do.\n"
