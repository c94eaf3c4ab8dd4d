"""Text literals of PostgreSQL arrays, for columns of many rows: psycopg's own adaptation is many times slower."""

from __future__ import annotations

from collections.abc import Iterable


def text_array(values: Iterable[str]) -> str:
    """Return the array literal of any texts."""
    texts = list(values)
    if not texts:
        return "{}"
    everything = "".join(texts)
    if "\\" in everything or '"' in everything:
        texts = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    return '{"' + '","'.join(texts) + '"}'


def plain_array(values: Iterable[object]) -> str:
    """Return the array literal of values that need no quotes: numbers, timestamps, hex digests; None becomes NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
