"""Text that no database column can hold: NUL and lone surrogates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

HOSTILE = "Text must not contain NUL or lone surrogate characters."

_HOSTILE = re.compile("[\x00\ud800-\udfff]")


def is_hostile(text: str) -> bool:
    """Tell whether PostgreSQL, or UTF-8 itself, would refuse this text."""
    return _HOSTILE.search(text) is not None


def hostile_places(value: Any) -> Iterator[str]:
    """Walk a parsed JSON value and name, in dotted form, each place that holds hostile text.

    A hostile key is reported at the object that has it, since its own name cannot be printed.
    """
    pending: list[tuple[str, Any]] = [("", value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, str):
            if is_hostile(item):
                yield path
        elif isinstance(item, dict):
            if any(is_hostile(key) for key in item):
                yield path
            pending.extend((_below(path, key), inner) for key, inner in item.items() if not is_hostile(key))
        elif isinstance(item, list):
            pending.extend((_below(path, index), inner) for index, inner in enumerate(item))


def _below(path: str, step: str | int) -> str:
    return f"{path}.{step}" if path else str(step)
