"""Streamed bodies: the request ends when the server closes them."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

Ended = Callable[[bool], None]  # called with whether the body broke off


class _Ending:
    def __init__(self, body: Any, ended: Ended) -> None:
        self._body = body
        self._ended = ended
        self._has_failed = False

    def close(self) -> None:
        """Close the body, as its server does in any case, and then end the request."""
        try:
            if hasattr(self._body, "close"):
                self._body.close()
        finally:
            self._ended(self._has_failed)


class Stream(_Ending):
    """A body of WSGI, or a streaming response of Django."""

    def __iter__(self) -> Iterator[Any]:
        try:
            yield from self._body
        except Exception:
            self._has_failed = True
            raise


class AsyncStream(_Ending):
    """A streaming response of Django whose chunks are asynchronous."""

    async def __aiter__(self) -> AsyncIterator[Any]:
        try:
            async for piece in self._body:
                yield piece
        except Exception:
            self._has_failed = True
            raise
