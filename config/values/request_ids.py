"""One name for each call, in its answer and in every log line it causes."""

from __future__ import annotations

import logging
import os
import re
import time
import uuid
from contextvars import ContextVar

_UUID = re.compile(r"[0-9A-Fa-f]{8}(?:-?[0-9A-Fa-f]{4}){3}-?[0-9A-Fa-f]{12}", re.ASCII)
_ACCEPTED = re.compile(r"[\x20-\x7e]{1,128}", re.ASCII)

# None outside a request. Within, it is the caller's to choose: no value of it says anything else.
current_request_id: ContextVar[str | None] = ContextVar("current_request_id", default=None)


def chosen_request_id(sent: str | None) -> str:
    """Take the caller's own id when it is 1 to 128 printable ASCII characters, else make one."""
    if sent and sent.strip() and _ACCEPTED.fullmatch(sent):
        return sent
    return str(_new())


def is_in_request() -> bool:
    """Tell whether this code runs for a call that somebody waits for, and not in a command or a job."""
    return current_request_id.get() is not None


def request_uuid(request_id: str) -> uuid.UUID:
    """Read a call's id as a UUID; one that is none gets another name, where only a UUID will do."""
    return uuid.UUID(request_id) if _UUID.fullmatch(request_id) else _new()


def _new() -> uuid.UUID:
    return uuid7(milliseconds=time.time_ns() // 1_000_000, random_bits=int.from_bytes(os.urandom(10), "big"))


def uuid7(*, milliseconds: int, random_bits: int) -> uuid.UUID:
    """Make a UUID that sorts by time: 48 bits of Unix milliseconds, then 74 random bits (RFC 9562, 5.7)."""
    value = (milliseconds & (1 << 48) - 1) << 80
    value |= 0x7 << 76
    value |= (random_bits >> 62 & 0xFFF) << 64
    value |= 0b10 << 62
    value |= random_bits & (1 << 62) - 1
    return uuid.UUID(int=value)


class RequestIdFilter(logging.Filter):
    """Adds `request_id` to log records, `-` outside a request."""

    def filter(self, record: logging.LogRecord) -> bool:
        request_id = current_request_id.get()
        record.request_id = "-" if request_id is None else request_id
        record.in_request = request_id is not None
        return True
