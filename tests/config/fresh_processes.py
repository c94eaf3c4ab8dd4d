"""Run `manage.py` many times, each in a fork of a process that has loaded Django but no settings.

A process of its own for each run would load Django each time, which takes ten times as long as what is tested.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings

FORKS = """
import json, os, runpy, sys
import django.core.management, django.db.backends.postgresql.base, environ, psycopg

for line in sys.stdin:
    run = json.loads(line)
    child = os.fork()
    if child == 0:
        os.environ.clear()
        os.environ.update(run["environment"])
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(run[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        sys.argv = ["manage.py", *run["command"]]
        runpy.run_path("manage.py", run_name="__main__")
        sys.exit()
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


@dataclass(frozen=True)
class FreshProcesses:
    """Run commands of `manage.py` with a given environment and none of the tests' own."""

    forks: subprocess.Popen[str]
    folder: Path

    def manage(self, *command: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
        """Run a command and return its exit code and output."""
        given = inherited() | {name: value for name, value in environment.items() if value is not None}
        out, err = self.folder / "out", self.folder / "err"
        run = {"command": command, "environment": given, "out": str(out), "err": str(err)}
        assert self.forks.stdin
        assert self.forks.stdout
        print(json.dumps(run), file=self.forks.stdin, flush=True)
        code = int(self.forks.stdout.readline())
        return subprocess.CompletedProcess(command, code, out.read_text(), err.read_text())


def inherited() -> dict[str, str]:
    return {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}


@contextmanager
def fresh_processes(folder: Path) -> Iterator[FreshProcesses]:
    with subprocess.Popen(
        [sys.executable, "-c", FORKS], env=inherited(), cwd=settings.BASE_DIR, stdin=subprocess.PIPE,
        stdout=subprocess.PIPE, text=True,
    ) as forks:  # fmt: skip
        yield FreshProcesses(forks, folder)
        assert forks.stdin
        forks.stdin.close()
