"""Jobs that are late or have failed, for the front page, and the page that lists all jobs.

What is due when is in `schedule.py`; what ran is in procrastinate's tables, if a worker runs the jobs. Cron leaves no
trace there, so that nothing is late where cron runs them.
"""

from __future__ import annotations

import datetime as dt
from typing import Any

from croniter import croniter  # which procrastinate reads the same times with
from django.contrib.admin import AdminSite
from django.core.exceptions import PermissionDenied
from django.db import connection
from django.db.models import DateTimeField, F, Func, Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils import timezone
from procrastinate.contrib.django.models import ProcrastinateEvent, ProcrastinatePeriodicDefer

from config.backoffice.times import shown_at
from config.backoffice.to_do import ToDo
from config.jobs.schedule import SCHEDULE, Job

PERMISSION = "procrastinate.view_procrastinatejob"
GRACE = dt.timedelta(minutes=5)
"""How long a job may be late before somebody looks: a worker may have been restarted."""
FAILED_WITHIN = dt.timedelta(days=1)


def last_due(job: Job, now: dt.datetime) -> dt.datetime:
    """Return when a job was due last."""
    return dt.datetime.fromtimestamp(croniter(job.when, now.timestamp()).get_prev(), dt.UTC)


def late(now: dt.datetime) -> QuerySet[Any]:
    """Return, of the jobs that a worker has ever queued, those not queued when they were due."""
    missed = Q(pk__in=[])
    for job in SCHEDULE:
        due = last_due(job, now - GRACE)
        missed |= Q(task_name=job.command, defer_timestamp__lt=int(due.timestamp()))
    since = Func(F("defer_timestamp"), function="to_timestamp", output_field=DateTimeField())
    return ProcrastinatePeriodicDefer.objects.filter(missed).annotate(since=since)


def failed(now: dt.datetime) -> QuerySet[Any]:
    """Return the failures of the last day."""
    return ProcrastinateEvent.objects.filter(type="failed", at__gte=now - FAILED_WITHIN)


def _url(_: dt.datetime) -> str:
    return reverse("admin:jobs")


TO_DOS = (
    ToDo(
        name="late_jobs",
        title="Jobs that are late",
        permission=PERMISSION,
        rows=late,
        since="since",
        url=_url,
        advice="See whether manage.py worker runs.",
        is_urgent=True,
    ),
    ToDo(
        name="failed_jobs",
        title="Runs of jobs that failed",
        permission=PERMISSION,
        rows=failed,
        since="at",
        url=_url,
        advice="Within a day. The worker's log has what each said; it runs again when it is due.",
    ),
)
_STATES = """
    SELECT d.task_name, to_timestamp(d.defer_timestamp), j.status, failed.at, coalesce(failed.times, 0)
    FROM procrastinate_periodic_defers d LEFT JOIN procrastinate_jobs j ON j.id = d.job_id
    LEFT JOIN (
        SELECT f.task_name, max(e.at) AS at, count(*) AS times
        FROM procrastinate_events e JOIN procrastinate_jobs f ON f.id = e.job_id
        WHERE e.type = 'failed' AND e.at >= %s GROUP BY 1
    ) failed ON failed.task_name = d.task_name
"""
_DONE, _WAITS, _RUNS, _FAILED = "done", "waits", "runs", "failed"
_SHOWN = {None: _DONE, "succeeded": _DONE, "todo": _WAITS, "doing": _RUNS}


def jobs_page(request: HttpRequest, site: AdminSite) -> HttpResponse:
    """Show every job: when it is due, when it was queued last, and how it went. One statement."""
    if not request.user.has_perm(PERMISSION):
        raise PermissionDenied
    now = timezone.now()
    with connection.cursor() as cursor:
        cursor.execute(_STATES, [now - FAILED_WITHIN])
        found = {row[0]: row[1:] for row in cursor.fetchall()}
    context = {
        **site.each_context(request),
        "title": "Jobs",
        "jobs": [_row(job, found.get(job.command), now) for job in SCHEDULE],
    }
    return TemplateResponse(request, "admin/jobs.html", context)


def _row(job: Job, found: tuple[Any, ...] | None, now: dt.datetime) -> dict[str, Any]:
    queued_at, status, failed_at, failures = found or (None, None, None, 0)
    return {
        "command": job.command,
        "when": job.when,
        "queued_at": shown_at(queued_at),
        "state": "never queued by a worker" if found is None else _SHOWN.get(status, _FAILED),
        "is_late": queued_at is not None and queued_at < last_due(job, now - GRACE),
        "failures": failures,
        "failed_at": shown_at(failed_at),
    }


def jobs_url(site: AdminSite) -> URLPattern:
    def answer(request: HttpRequest) -> HttpResponse:
        return jobs_page(request, site)

    return path("jobs/", site.admin_view(answer), name="jobs")
