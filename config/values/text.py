"""Text that no database column can hold: NUL and lone surrogates."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

INVALID_TEXT = "Text must not contain NUL or lone surrogate characters."

_INVALID_TEXT = re.compile("[\x00\ud800-\udfff]")


def is_invalid_text(text: str) -> bool:
    """Return whether PostgreSQL, or UTF-8 itself, would refuse this text."""
    return _INVALID_TEXT.search(text) is not None


def invalid_places(value: Any) -> Iterator[str]:
    """Yield the dotted path of each invalid text in a parsed JSON value.

    An invalid key is reported at the object that has it, since its own name cannot be printed.
    """
    pending: list[tuple[str, Any]] = [("", value)]
    while pending:
        path, item = pending.pop()
        if isinstance(item, str):
            if is_invalid_text(item):
                yield path
        elif isinstance(item, dict):
            if any(is_invalid_text(key) for key in item):
                yield path
            pending.extend((_below(path, key), inner) for key, inner in item.items() if not is_invalid_text(key))
        elif isinstance(item, list):
            pending.extend((_below(path, index), inner) for index, inner in enumerate(item))


def _below(path: str, step: str | int) -> str:
    return f"{path}.{step}" if path else str(step)
