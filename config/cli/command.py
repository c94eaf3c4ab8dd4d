"""The base of all commands: output, exit codes, progress."""

from __future__ import annotations

import os
import sys
from argparse import ArgumentParser
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from functools import wraps
from typing import Any, Concatenate, TypeVar

from django.core.management.base import BaseCommand, CommandError, CommandParser
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from config.cli.run_lock import AnotherRunHoldsTheLock
from config.cli.sentences import is_unexpected, sentence_of
from config.values.json import exact_json
from config.values.timestamps import instant_text

EXIT_ERROR, EXIT_USAGE, EXIT_FINDINGS, EXIT_LOCKED = 1, 2, 3, 4


class Findings(CommandError):
    """The command completed and has findings: exit 3."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} finding{'' if count == 1 else 's'}.", returncode=EXIT_FINDINGS)


@dataclass(frozen=True)
class Result:
    """What a command prints on stdout."""

    data: Mapping[str, Any]  # the object that --json prints
    text: str | None = None  # printed without --json; None prints the data, one line for each name
    findings: int = 0  # above 0: exit 3, after the output
    failure: str | None = None  # a partial failure: exit 1, after the output


class OperatorCommand(BaseCommand):
    """Base of all commands. Subclasses define `add_arguments` and `handle`, as in Django; `prints_result` prints data.

    Data goes to stdout and nothing else; messages go to stderr. From the command line a failure is one sentence
    and an exit code (1 error, 2 usage, 3 findings, 4 locked). Through `call_command` each of these is a
    CommandError whose `returncode` is that code; wrong usage is one with returncode 2 as well.
    """

    _called_from_command_line = False  # Django's own flag: set by run_from_argv

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Add `--json` to Django's parser, before the command's own arguments."""
        of_all = ArgumentParser(add_help=False)
        of_all.add_argument("--json", action="store_true", help="Print one machine-readable object.")
        parser = super().create_parser(prog_name, subcommand, parents=[of_all], **kwargs)
        if not self._called_from_command_line:
            parser.error = _refuse_usage  # type: ignore[method-assign]
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        """Run the command and turn every failure into a sentence and an exit code."""
        try:
            return super().execute(*args, **options)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader closed the pipe
            raise SystemExit(EXIT_ERROR) from None
        except (Exception, KeyboardInterrupt) as error:
            if options.get("traceback"):
                raise
            refusal = as_command_error(error)
        if not self._called_from_command_line:
            raise refusal
        self.say(str(refusal))
        raise SystemExit(refusal.returncode)

    def say(self, message: str) -> None:
        """Write a message that is not data to stderr."""
        self.stderr.write(message, style_func=str)

    @contextmanager
    def progress(self, label: str, total: int | None = None) -> Iterator[Callable[[int], None]]:
        """Show a progress bar while the block runs, if stderr is a terminal; call the value to advance it."""
        console = Console(stderr=True)
        if not (console.is_terminal and self.stderr.isatty()):  # the worker captures the stderr of its jobs
            yield lambda _done: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
        with Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task(label, total=total)
            yield lambda done: bar.advance(task, done)


_Command = TypeVar("_Command", bound=OperatorCommand)


def prints_result(handle: Callable[Concatenate[_Command, ...], Result]) -> Callable[Concatenate[_Command, ...], None]:
    """Print the result that `handle` returns, as text or JSON; then raise its failure or findings, if any."""

    @wraps(handle)
    def printing(command: _Command, *args: Any, **options: Any) -> None:
        result = handle(command, *args, **options)
        command.stdout.write(exact_json(result.data) if options["json"] else _as_text(result))
        command.stdout.flush()
        if result.failure is not None:
            raise CommandError(result.failure, returncode=EXIT_ERROR)
        if result.findings:
            raise Findings(result.findings)

    return printing


def as_command_error(error: BaseException) -> CommandError:
    """Turn an exception into a CommandError of one sentence, with its exit code."""
    if isinstance(error, CommandError):
        return error
    if isinstance(error, AnotherRunHoldsTheLock):
        return CommandError(str(error), returncode=EXIT_LOCKED)
    hint = " (--traceback shows where)" if is_unexpected(error) else ""
    return CommandError(f"{sentence_of(error)}{hint}", returncode=EXIT_ERROR)


def _as_text(result: Result) -> str:
    if result.text is not None:
        return result.text
    return "\n".join(f"{name}: {_shown(value)}" for name, value in result.data.items())


def _shown(value: Any) -> str:
    if isinstance(value, Decimal):
        return f"{value:f}"
    if value is None or isinstance(value, bool | dict | list):
        return exact_json(value)
    return instant_text(value) if hasattr(value, "utcoffset") and value.utcoffset() is not None else str(value)


def _refuse_usage(message: str) -> None:
    raise CommandError(f"Error: {message}", returncode=EXIT_USAGE)
