"""Responses that are made piece by piece, such as a large CSV: the next piece is made when the last is sent.

Between two pieces the response holds no thread, however slowly its client reads, and at most one piece in memory.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from config.server.connections import break_off
from config.server.futures import message_of

if TYPE_CHECKING:
    from config.server.calls import Call

PIECE_BYTES = 128 * 1024
PIECE_SECONDS = 30.0  # for a client to read a piece
SENDING_SECONDS = 1800.0  # for a client to read everything

logger = logging.getLogger(__name__)


class Stream:
    """One response in pieces. Its steps never run concurrently."""

    def __init__(self, call: Call, answer: Any) -> None:
        self._call = call
        self._protocol = call.protocol
        self._deadlines = call.front.deadlines
        self._lane = call.front.streams
        self._pieces: Iterator[bytes] = iter(answer)
        self._whole = _Whole()
        self._held = [answer]
        self._is_over = False

    def begin(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self._protocol.send({"type": "http.response.start", "status": status, "headers": headers})
        self._deadlines.set(self._whole, SENDING_SECONDS, self._break_off)
        self._lane.run(self._step)
        self._watch_for_the_end()

    def _watch_for_the_end(self) -> None:
        """Watch for the client's disconnection; a call without a body first receives its empty body."""

        def came(future: Any) -> None:
            if message_of(future)["type"] == "http.disconnect":
                self._is_over = True
            else:
                self._watch_for_the_end()

        self._protocol.receive().add_done_callback(came, context=None)

    def _step(self) -> None:
        """Make the next piece and send it."""
        if self._is_over:
            self._end()
            return
        try:
            piece, is_last = self._next_piece()
        except Exception:
            logger.exception("A response failed before its end.")
            self._break_off()
            return
        self._is_over = is_last
        sent = self._protocol.send({"type": "http.response.body", "body": piece, "more_body": not is_last})
        if hasattr(sent, "add_done_callback"):
            self._deadlines.set(self, PIECE_SECONDS, self._break_off)
            sent.add_done_callback(self._taken, context=None)  # starts sending
        else:  # there was room: it is being sent
            self._lane.run(self._step)

    def _next_piece(self) -> tuple[bytes, bool]:
        held, size = [], 0
        for piece in self._pieces:
            held.append(piece)
            size += len(piece)
            if size >= PIECE_BYTES:
                return b"".join(held), False
        return b"".join(held), True

    def _taken(self, _: Any) -> None:
        self._deadlines.call_off(self)
        self._lane.run(self._step)

    def _break_off(self) -> None:
        """Close the connection: only this tells a client that the response is incomplete."""
        self._is_over = True
        break_off(self._call.scope.get("client"))
        self._lane.run(self._end)

    def _end(self) -> None:
        """Release what the response holds, once."""
        self._deadlines.call_off(self)
        self._deadlines.call_off(self._whole)
        try:
            answer = self._held.pop()
        except IndexError:
            return
        try:
            answer.close()
        finally:
            self._call.end()


class _Whole:
    """The name of the deadline for a whole response."""
