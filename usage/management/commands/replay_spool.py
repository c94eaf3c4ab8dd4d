"""`manage.py replay_spool`: settle what metered services spooled while the database was unavailable."""

from __future__ import annotations

import socket
from dataclasses import asdict
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from config.cli.command import EXIT_USAGE, OperatorCommand, Result, prints_result
from config.cli.run_lock import run_lock
from config.rounds import Round
from config.values.credits import plain
from usage.services.spool.files import Spool
from usage.services.spool.replaying import rehearse_replay, replay_spool

TOLD = 20  # at most this many lines that stay are named on stderr


class Command(OperatorCommand):
    help = (
        "Settle the requests that wait in a spool: each is held, captured and logged as it would have been. Safe to "
        "run again, also after a kill: what was settled counts as duplicate. What cannot be settled or read waits on. "
        "What fails for one customer does not stop the others (exit 1). --dry-run does all of it in one transaction "
        "and takes it back."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("folder", metavar="FOLDER", type=Path, nargs="?", help="default: METERING_SPOOL")
        parser.add_argument("--dry-run", action="store_true", help="print the result, and change nothing")

    @prints_result
    def handle(self, *args: Any, **options: Any) -> Result:
        folder = options["folder"] or (Path(settings.METERING_SPOOL) if settings.METERING_SPOOL else None)
        if folder is None:
            raise CommandError("Name a FOLDER, or set METERING_SPOOL.", returncode=EXIT_USAGE)
        if not folder.is_dir():
            raise CommandError(f"There is no folder {folder}.")
        spool = Spool(folder, max_bytes=settings.METERING_SPOOL_BYTES)
        with run_lock(f"replay_spool on {socket.gethostname()} of {folder.resolve()}"):
            customers = Round(say=self.say, in_transaction=options["dry_run"])
            replay = rehearse_replay(spool, customers) if options["dry_run"] else replay_spool(spool, customers)
        for name, number, reason in replay.kept[:TOLD]:
            self.say(f"{name} line {number}: {reason}")
        if len(replay.kept) > TOLD:
            self.say(f"… and {len(replay.kept) - TOLD} more lines that wait on")
        figures = asdict(replay) | {"credits": plain(replay.credits), "kept": len(replay.kept)}
        figures["failed"] = len(customers.failed)
        return Result(figures | ({"dry_run": True} if options["dry_run"] else {}), failure=customers.failure)
