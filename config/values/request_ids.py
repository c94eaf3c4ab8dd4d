"""The request id: one name for each call, in its response and in every log line of it."""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from contextvars import ContextVar

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}", re.ASCII)
_ACCEPTED = re.compile(r"[\x20-\x7e]{1,128}", re.ASCII)

# None outside a request. Within one, callers may choose it: no value has another meaning.
current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)


def chosen_request_id(sent: str | None) -> str:
    """Return the caller's own id if it is 1 to 128 printable ASCII characters, otherwise a new one."""
    if sent and sent.strip() and _ACCEPTED.fullmatch(sent):
        return sent
    return str(_new())


def is_in_request() -> bool:
    """Return whether this code runs in a request, and not in a command or a job."""
    return current_request_id.get() is not None


def request_uuid(request_id: str) -> uuid.UUID:
    """Return a request id as a UUID; a new UUID if it is not one."""
    return uuid.UUID(request_id) if _UUID.fullmatch(request_id) else _new()


def _new() -> uuid.UUID:
    return uuid7(milliseconds=time.time_ns() // 1_000_000, random_bits=int.from_bytes(os.urandom(10), "big"))


def uuid7(*, milliseconds: int, random_bits: int) -> uuid.UUID:
    """Return a UUID that sorts by time: 48 bits of Unix milliseconds, then 74 random bits (RFC 9562, 5.7)."""
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76
    value |= (random_bits >> 62 & 0xFFF) << 64
    value |= 0b10 << 62
    value |= random_bits & (1 << 62) - 1
    return uuid.UUID(int=value)


class RequestIdFilter(logging.Filter):
    """Add `request_id` to log records, `-` outside a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        request_id = current_request_id.get()
        record.request_id = "-" if request_id is None else request_id
        record.in_request = request_id is not None
        return True
