"""Results of granian's futures: messages of ASGI's HTTP connection."""

from __future__ import annotations

from typing import Any

Message = dict[str, Any]


def message_of(future: Any) -> Message:
    """Return the message of a finished `receive` future; a failed one means that the connection has ended."""
    try:
        next(future)
    except StopIteration as end:
        message: Message = end.value
        return message
    except Exception:  # noqa: BLE001, S110  granian's own: the transport is closed
        pass
    return {"type": "http.disconnect"}
