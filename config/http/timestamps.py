"""Instants as answers print them: RFC 3339 in UTC with `Z`."""

from __future__ import annotations

import datetime as dt


def instant_text(instant: dt.datetime) -> str:
    """Print an aware instant; the fraction appears only when it is not 0.

    :raises ValueError: if the instant has no zone, since guessing one would be wrong somewhere
    """
    if instant.utcoffset() is None:
        raise ValueError("An instant without a zone cannot be printed.")
    return instant.astimezone(dt.UTC).replace(tzinfo=None).isoformat() + "Z"
