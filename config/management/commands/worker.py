"""`manage.py worker`: run the periodic commands when they are due."""

from __future__ import annotations

import asyncio
import signal
from argparse import ArgumentTypeError
from typing import Any

from django.core.management.base import CommandError, CommandParser
from django.db import connection

from config.cli.command import OperatorCommand
from config.jobs.schedule import SCHEDULE
from config.jobs.worker import work

MOST = 32


class Command(OperatorCommand):
    help = (
        "Run the periodic commands when they are due, until SIGTERM: then what has begun is finished. Several workers, "
        "on one machine or many, run each job once. Balances are exact without it; cron may run the commands instead."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--concurrency", metavar="N", type=_number, default=4, help="jobs at the same time (4)")

    def handle(self, *args: Any, **options: Any) -> None:
        self._look_for_the_queue()
        self.say(f"Running {', '.join(job.command for job in SCHEDULE)} when they are due. SIGTERM ends it.")
        asyncio.run(self._work(options["concurrency"]))

    def _look_for_the_queue(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('procrastinate_workers') IS NOT NULL")
            (is_there,) = cursor.fetchone()
        connection.close()
        if not is_there:
            raise CommandError("The queue of jobs is not there yet: run manage.py migrate.")

    async def _work(self, concurrency: int) -> None:
        stop = asyncio.Event()

        def end() -> None:
            self.say("Stopping when what has begun is finished.")
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, end)
        await work(SCHEDULE, concurrency=concurrency, stop=stop)


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 2 and 1 <= int(text) <= MOST):
        raise ArgumentTypeError(f"Write a whole number from 1 to {MOST}.")
    return int(text)
