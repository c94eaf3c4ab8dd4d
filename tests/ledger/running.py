"""Run a command as from a shell, without the cost of a process."""

from __future__ import annotations

import io
import json
from typing import Any, NamedTuple

from django.core.management import CommandError, call_command


class Ran(NamedTuple):
    """Exit code, stdout and stderr of a command, with the sentence of its refusal in stderr."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run(*arguments: object) -> Ran:
    out, err = io.StringIO(), io.StringIO()
    try:
        call_command(*map(str, arguments), stdout=out, stderr=err)
    except CommandError as refusal:
        return Ran(refusal.returncode, out.getvalue(), f"{err.getvalue()}{refusal}")
    return Ran(0, out.getvalue(), err.getvalue())
