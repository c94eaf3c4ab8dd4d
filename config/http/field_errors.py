"""Flatten DRF's nested errors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any


def flattened(detail: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield the path and message of each nested error: `{"items": [{"name": ["…"]}]}` has the path `items.0.name`."""
    if isinstance(detail, Mapping):
        for name, inner in detail.items():
            yield from flattened(inner, f"{path}.{name}" if path else str(name))
    elif isinstance(detail, list | tuple):
        for index, inner in enumerate(detail):
            is_message = not isinstance(inner, Mapping | list | tuple)
            yield from flattened(inner, path if is_message else f"{path}.{index}" if path else str(index))
    else:
        yield path, str(detail)
