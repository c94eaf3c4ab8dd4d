"""Compressed bodies: gzip only, with a limit on the decompressed size."""

from __future__ import annotations

import zlib

_GZIP_WINDOW = 16 + zlib.MAX_WBITS  # gzip's own header and checksum (RFC 1952)
_MOST_MEMBERS = 1_000


class Inflated(Exception):
    """The decompressed body is larger than allowed."""


def encoding_of(header: str) -> str:
    """Return the one encoding of a body in lower case; without a header `identity` (RFC 9110, 8.4)."""
    named = header.strip().lower() or "identity"
    return "gzip" if named == "x-gzip" else named


def inflate(body: bytes, *, limit: int) -> bytes:
    """Decompress a gzip body of one or more members, without ever holding more than a byte above the limit.

    :raises Inflated: if the result has more than `limit` bytes
    :raises zlib.error: if it is not gzip, is damaged, or ends too early
    """
    parts: list[bytes] = []
    room = limit + 1
    for _ in range(_MOST_MEMBERS):
        member = zlib.decompressobj(wbits=_GZIP_WINDOW)
        part = member.decompress(body, room)
        room -= len(part)
        if room <= 0:
            raise Inflated
        parts.append(part)
        if not member.eof:
            raise zlib.error("The body ended too early.")
        body = member.unused_data
        if not body:
            return b"".join(parts)
    raise Inflated
