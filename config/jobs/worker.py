"""The worker: runs the schedule's commands when they are due, on a queue in the same PostgreSQL.

It polls and never listens, and keeps nothing in its session, so it works through PgBouncer in transaction mode
(docs/decisions/0036).
"""

from __future__ import annotations

import asyncio
import io
import logging
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
from django.core.management import CommandError, call_command
from django.db import connections
from procrastinate import App
from procrastinate.contrib.django.db_cleanup import DjangoApp
from procrastinate.contrib.django.utils import connector_params
from procrastinate.exceptions import ConnectorException
from procrastinate.job_context import JobContext
from procrastinate.jobs import Status
from procrastinate.psycopg_connector import PsycopgConnector

from config.cli.command import EXIT_LOCKED
from config.jobs.schedule import Job

LATE_SECONDS = 24 * 60 * 60  # jobs that fell due within this time while no worker ran are run once
FAILED_HOURS = 7 * 24  # failed runs are kept so long; successful ones are deleted
STALLED_SECONDS = 45.0  # workers update their heartbeat every 10 s
POLL_SECONDS = 1.0
MOST_OUTPUT = 4_000  # characters of a failed command's output
PAUSE_SECONDS = 5.0  # before the database is tried again

logger = logging.getLogger("tollbook.jobs")


class JobFailed(Exception):
    """The command failed; its output is in the log."""


async def work(jobs: Iterable[Job], *, concurrency: int, stop: asyncio.Event) -> None:
    """Run jobs when they are due until `stop` is set; what has begun by then is finished.

    While the database is away, it is tried again every few seconds.
    """
    asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(concurrency, thread_name_prefix="job"))
    while not stop.is_set():
        problem = await _work_until(stop, worker_app(jobs), concurrency)
        if problem is not None:
            logger.error("The worker cannot use the database, and tries again: %s", problem)
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), PAUSE_SECONDS)


async def _work_until(stop: asyncio.Event, app: App, concurrency: int) -> str | None:
    """Work until `stop` is set or the database cannot be used; return the database's error."""
    try:
        async with app.open_async():
            await tidy(app)
            await _run(stop, app, concurrency)
    except (ConnectorException, psycopg.Error) as error:
        return (str(error.__cause__ or error).strip() or type(error).__name__).splitlines()[0]
    return None


async def _run(stop: asyncio.Event, app: App, concurrency: int) -> None:
    running = asyncio.create_task(
        app.run_worker_async(
            concurrency=concurrency,
            listen_notify=False,
            fetch_job_polling_interval=POLL_SECONDS,
            delete_jobs="successful",
            stalled_worker_timeout=STALLED_SECONDS,
            install_signal_handlers=False,
        )
    )
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stopping.cancel()
    running.cancel()  # finishes running jobs first
    with suppress(asyncio.CancelledError):
        await running


def worker_app(jobs: Iterable[Job]) -> App:
    """Return procrastinate's application with these jobs: each is queued once at most and runs once at a time."""
    parameters = {**connector_params("default"), "prepare_threshold": None}
    connector = PsycopgConnector(kwargs=parameters, min_size=1, max_size=4, timeout=10)
    app: App = DjangoApp(connector=connector, periodic_defaults={"max_delay": LATE_SECONDS})
    for job in jobs:
        task = app.task(name=job.command, lock=job.command, queueing_lock=job.command)(_perform(job))
        app.periodic(cron=job.when)(task)
    # Without a lock: it frees the locks of killed workers.
    app.periodic(cron="* * * * *")(app.task(name="tidy", queueing_lock="tidy", pass_context=True)(_tidy))
    return app


def _perform(job: Job) -> Callable[[int], None]:
    def perform(timestamp: int) -> None:  # noqa: ARG001  procrastinate says when it fell due
        try:
            run_command(job)
        finally:
            connections.close_all()  # this thread's: the server may have changed by the next use

    return perform


def run_command(job: Job) -> None:
    """Run a job's command as cron would, and log its output.

    :raises JobFailed: if its exit code is not 0 or 4 (another run holds the lock)
    """
    said, began = io.StringIO(), time.monotonic()
    refusal = _refusal_of(job, said)
    if refusal is None:
        level = logging.DEBUG if job.is_frequent else logging.INFO
        logger.log(level, "%s: done in %.1f s", job.command, time.monotonic() - began)
    elif refusal.returncode == EXIT_LOCKED:
        logger.info("%s: %s", job.command, refusal)
    else:
        told = f"{refusal}\n{said.getvalue()[:MOST_OUTPUT]}".strip()
        logger.error("%s: exit %s: %s", job.command, refusal.returncode, told)
        raise JobFailed(job.command)


def _refusal_of(job: Job, said: io.StringIO) -> CommandError | None:
    try:
        call_command(job.command, stdout=said, stderr=said)
    except CommandError as refusal:
        return refusal
    return None


async def _tidy(context: JobContext, timestamp: int) -> None:  # noqa: ARG001
    await tidy(context.app)


async def tidy(app: App) -> None:
    """Fail the jobs of killed workers, so that they run again when due; delete old failures."""
    manager = app.job_manager
    for job in await manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_SECONDS):
        with suppress(ConnectorException):  # another worker did it first
            await manager.finish_job(job, Status.FAILED, delete_job=False)
            logger.warning("%s: its worker is gone. It runs again when it is due.", job.task_name)
    await manager.prune_stalled_workers(STALLED_SECONDS)
    await manager.delete_old_jobs(
        nb_hours=FAILED_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
    )
