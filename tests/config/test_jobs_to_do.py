"""Jobs that are late or have failed: a line on the front page, and the page of all jobs."""

from __future__ import annotations

import datetime as dt

import pytest
from django.db import connection
from django.utils import timezone

from config.backoffice.to_do import lines_for
from config.jobs.schedule import SCHEDULE, Job
from config.jobs.to_do import GRACE, PERMISSION, failed, last_due, late
from tests.backoffice import signed_in, staff_with

pytestmark = pytest.mark.django_db
NOW = dt.datetime(2026, 11, 10, 12, 0, 30, tzinfo=dt.UTC)


def queued(command, at, *, status="succeeded", failed_at=None):
    """Write what procrastinate does when a worker queues a job."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) VALUES ('default', %s, '{}', %s)"
            " RETURNING id",
            [command, status],
        )
        (job,) = cursor.fetchone()
        cursor.execute(
            "INSERT INTO procrastinate_periodic_defers (task_name, periodic_id, defer_timestamp, job_id)"
            " VALUES (%s, '', %s, %s)",
            [command, int(at.timestamp()), job],
        )
        if failed_at is not None:
            cursor.execute(
                "INSERT INTO procrastinate_events (job_id, type, at) VALUES (%s, 'failed', %s)", [job, failed_at]
            )


@pytest.mark.parametrize(
    ("when", "due"),
    [
        ("* * * * *", dt.datetime(2026, 11, 10, 12, 0, tzinfo=dt.UTC)),
        ("* * * * * */10", dt.datetime(2026, 11, 10, 12, 0, 20, tzinfo=dt.UTC)),
        ("15 2 * * *", dt.datetime(2026, 11, 10, 2, 15, tzinfo=dt.UTC)),
    ],
)
def test_a_job_was_due_last_at_its_time_in_utc(when, due):
    assert last_due(Job("x", when), NOW) == due


def test_every_time_of_the_schedule_is_understood():
    assert all(last_due(job, NOW) < NOW for job in SCHEDULE)


def test_a_job_is_late_when_it_was_not_queued_in_time():
    queued("reconcile", NOW.replace(hour=2, minute=15, second=0))
    queued("expire_grants", NOW - dt.timedelta(hours=2))
    queued("send_alerts", NOW - GRACE)

    assert [each.task_name for each in late(NOW)] == ["expire_grants"]


def test_where_cron_runs_the_jobs_none_is_late():
    assert not late(NOW).exists()


def test_failures_of_a_day_are_counted():
    queued("doctor", NOW, status="failed", failed_at=NOW - dt.timedelta(hours=1))
    queued("reconcile", NOW, status="failed", failed_at=NOW - dt.timedelta(hours=25))

    assert failed(NOW).count() == 1


def test_both_are_lines_of_the_front_page():
    now = timezone.now()
    queued("expire_grants", now - dt.timedelta(hours=3))
    queued("doctor", now, status="failed", failed_at=now - dt.timedelta(minutes=2))

    lines = {line.to_do.name: line for line in lines_for(staff_with(PERMISSION), now=now)}

    assert set(lines) == {"late_jobs", "failed_jobs"}
    assert lines["late_jobs"].waits == "3 hours"
    assert lines["failed_jobs"].waits == "2 minutes"


def test_the_page_shows_every_job_with_its_state():
    now = timezone.now()
    queued("expire_grants", now - dt.timedelta(hours=3))
    queued("doctor", now, status="failed", failed_at=now)

    answer = signed_in(staff_with(PERMISSION)).get("/admin/jobs/")

    rows = {job["command"]: job for job in answer.context["jobs"]}
    assert list(rows) == [job.command for job in SCHEDULE]
    assert (rows["expire_grants"]["is_late"], rows["expire_grants"]["state"]) == (True, "done")
    assert (rows["doctor"]["state"], rows["doctor"]["failures"]) == ("failed", 1)
    assert rows["reconcile"]["state"] == "never queued by a worker"


def test_the_page_asks_for_the_permission():
    assert signed_in(staff_with("ledger.view_entry")).get("/admin/jobs/").status_code == 403
