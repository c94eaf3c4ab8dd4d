"""Columns of many rows as PostgreSQL's arrays: psycopg writes them element by element, in many times the time."""

from __future__ import annotations

from collections.abc import Iterable


def text_array(values: Iterable[str]) -> str:
    """Write any texts."""
    texts = list(values)
    if not texts:
        return "{}"
    everything = "".join(texts)
    if "\\" in everything or '"' in everything:
        texts = [text.replace("\\", "\\\\").replace('"', '\\"') for text in texts]
    return '{"' + '","'.join(texts) + '"}'


def plain_array(values: Iterable[object]) -> str:
    """Write numbers, instants or digests in hexadecimal, which need no quotes; None becomes NULL."""
    return "{" + ",".join(["NULL" if value is None else str(value) for value in values]) + "}"
