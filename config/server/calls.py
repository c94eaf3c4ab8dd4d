"""The life of a call: its body is received and its response sent without a thread; only the application has one.

Everything here but `_answer` runs on granian's threads, or on the clock's, and must not block.
"""

from __future__ import annotations

import io
import logging
import threading
from collections.abc import Callable, Iterable
from typing import Any

from config.http.answers import RETRY_AFTER_SECONDS, error_body
from config.http.body_limits import REFUSED_BODY, body_limit
from config.server.deadlines import Deadlines
from config.server.environ import environ_of
from config.server.futures import Message, message_of
from config.server.streams import Stream
from config.server.threads import Lane, Threads
from config.values.json import exact_json
from config.values.request_ids import chosen_request_id

BODY_SECONDS = 10.0
MOST_WAITING = 1_000  # calls waiting for a thread: more would wait longer than callers do
MOST_HASHES_WAITING = 50  # calls that hash a password, each some 0.2 s of a core
MOST_CONNECTIONS = 16_384  # of a worker: each costs some kilobytes, but no thread
MOST_BODY_BYTES = 256 * 1024 * 1024  # of all large bodies received so far, complete or not
MOST_PIECES = 10_000  # of one body: each piece costs work, however small
_SMALL_BYTES = 64 * 1024
# Where passwords are hashed: a flood of these calls waits in its own queue (accounts/hashers.py).
_HASHING_PATHS = (
    "/auth/register",
    "/auth/login",
    "/auth/password",
    "/reset-password/",
    "/admin/login/",
    "/account/confirm/",
    "/admin/password_change/",
    "/admin/accounts/user/",
)
_HEADERS_KEPT, _LONGEST_KEPT = 1_000, 500
_encoded_before: dict[tuple[str, str], tuple[bytes, bytes]] = {}

WsgiApplication = Callable[..., Iterable[bytes]]

logger = logging.getLogger(__name__)


class Front:
    """What all calls of a process share: threads, deadlines and limits."""

    def __init__(self, application: WsgiApplication, *, threads: int) -> None:
        self.application = application
        a_quarter = max(1, threads // 4)
        self.threads = Threads(threads, most_waiting=MOST_WAITING)
        self.streams = Lane(self.threads, a_quarter, most_waiting=MOST_CONNECTIONS)
        self.hashing = Lane(self.threads, a_quarter, most_waiting=MOST_HASHES_WAITING)
        self.deadlines = Deadlines()
        self.under_way: set[Call] = set()
        self._body_bytes = 0
        self._lock = threading.Lock()

    def start(self) -> None:
        self.threads.start()
        self.deadlines.start()

    def take(self, watcher: Any) -> None:
        """Accept a call whose headers have arrived; granian calls this for each."""
        call = Call(self, watcher)
        self.under_way.add(call)
        try:
            call.begin()
        except Exception:
            logger.exception("A call could not be accepted.")
            call.drop()

    def has_room(self, call: Call) -> bool:
        """Count the bytes of a call's body that are new since the last call; return False if the total is too large."""
        with self._lock:
            more = 0 if call.is_over else call.received - call.counted
            if self._body_bytes + more > MOST_BODY_BYTES:
                return False
            self._body_bytes += more
            call.counted += more
            return True

    def give_room(self, call: Call) -> None:
        """Stop counting a call's body."""
        with self._lock:
            call.is_over = True
            self._body_bytes -= call.counted
            call.counted = 0


class Call:
    """One call, from its headers to its response."""

    __slots__ = ("body", "counted", "environ", "front", "is_over", "limit", "protocol", "received", "scope", "watcher")

    def __init__(self, front: Front, watcher: Any) -> None:
        self.front = front
        self.watcher = watcher
        self.protocol = watcher.proto
        self.scope = watcher.scope
        self.environ: dict[str, Any] = {}
        self.body: list[bytes] = []
        self.received = self.limit = self.counted = 0
        self.is_over = False

    def begin(self) -> None:
        """Run the call at once if it has no body, or one larger than allowed; otherwise receive the body first."""
        environ = self.environ = environ_of(self.scope)
        in_chunks = environ.pop("HTTP_TRANSFER_ENCODING", None) is not None
        length = environ.get("CONTENT_LENGTH", "").partition(",")[0]  # hyper has checked that all are equal
        if not in_chunks and length in {"", "0"}:
            self._hand_over()
            return
        self.limit = body_limit(environ["PATH_INFO"])
        if not in_chunks:
            environ["CONTENT_LENGTH"] = length
            if int(length) > self.limit:  # the application refuses it by its length
                self._hand_over()
                return
            self.limit = int(length)
        self.front.deadlines.set(self, BODY_SECONDS, self._give_up)
        self._receive(in_chunks)

    def _receive(self, in_chunks: bool) -> None:  # noqa: FBT001
        def arrived(future: Any) -> None:
            self._take(message_of(future), in_chunks=in_chunks)

        self.protocol.receive().add_done_callback(arrived, context=None)

    def _take(self, message: Message, *, in_chunks: bool) -> None:
        """Accept a piece of the body. This or `_give_up` ends the receiving: whichever calls off the deadline."""
        if self.is_over:
            return
        if message["type"] != "http.request":  # the client has disconnected
            if self.front.deadlines.call_off(self):
                self.drop()
            return
        self.body.append(message["body"])
        self.received += len(message["body"])
        has_room = self.received <= _SMALL_BYTES or self.front.has_room(self)
        is_whole = self._is_whole(message, in_chunks=in_chunks)
        if has_room and not is_whole and len(self.body) < MOST_PIECES:
            self._receive(in_chunks)
        elif self.front.deadlines.call_off(self):
            self._end_collecting(has_room=has_room, is_whole=is_whole)

    def _is_whole(self, message: Message, *, in_chunks: bool) -> bool:
        """Return whether this was the last piece, or one too many: for a body with a length, that is the limit."""
        if self.received > self.limit or not message["more_body"]:
            return True
        return not in_chunks and self.received == self.limit

    def _end_collecting(self, *, has_room: bool, is_whole: bool) -> None:
        self.environ["CONTENT_LENGTH"] = str(self.received)
        if not has_room:
            self._refuse(503)
        elif is_whole:
            self._hand_over()
        else:
            self._give_up(413)

    def _give_up(self, status: int = 408) -> None:
        """Refuse the call: its body did not come in time, or in too many pieces."""
        self.is_over = True
        self.body.clear()
        self.environ["CONTENT_LENGTH"] = "0"
        self.environ[REFUSED_BODY] = status
        self._hand_over()

    def _hand_over(self) -> None:
        environ = self.environ
        is_hashing = environ["REQUEST_METHOD"] == "POST" and environ["PATH_INFO"].startswith(_HASHING_PATHS)
        line = self.front.hashing if is_hashing else self.front.threads
        if not line.run(self._answer):
            self._refuse(503)

    def _answer(self) -> None:
        """Run the application on one of the threads, which is free again before anything is sent."""
        self.environ["wsgi.input"] = io.BytesIO(b"".join(self.body))
        started: list[Any] = []

        def start_response(status: str, headers: list[tuple[str, str]], _: Any = None) -> None:
            started[:] = status, headers

        try:
            answer = self.front.application(self.environ, start_response)
        except Exception:
            logger.exception("The application failed.")
            self._refuse(500)
            return
        self._release()
        status, headers = int(started[0][:3]), encoded(started[1])
        if getattr(answer, "streaming", True):
            Stream(self, answer).begin(status, headers)
            return
        body = b"".join(answer)
        answer.close()  # type: ignore[attr-defined]
        self._send(status, headers, body)

    def _release(self) -> None:
        self.body.clear()
        if self.counted:
            self.front.give_room(self)

    def _refuse(self, status: int) -> None:
        """Respond in place of the application: there are too many calls (503), or it failed itself."""
        self._release()
        body = exact_json(error_body(status)).encode()
        headers = {
            "Content-Type": "application/json",
            "Content-Length": str(len(body)),
            "Cache-Control": "no-store",
            "X-Request-Id": chosen_request_id(self.environ.get("HTTP_X_REQUEST_ID")),
        }
        if status == 503:
            headers["Retry-After"] = RETRY_AFTER_SECONDS
        self._send(status, encoded(headers.items()), body)

    def _send(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.protocol.send({"type": "http.response.start", "status": status, "headers": headers})
        self.protocol.send({"type": "http.response.body", "body": body, "more_body": False})
        self.end()

    def drop(self) -> None:
        """End the call without a response."""
        self._release()
        self.end()

    def end(self) -> None:
        """Release a call whose response is being sent, or that has none."""
        self.front.under_way.discard(self)
        self.watcher.done()


def encoded(headers: Iterable[tuple[str, str]]) -> list[tuple[bytes, bytes]]:
    """Return headers in granian's form. Most are the same in every response."""
    return [_encoded_before.get(pair) or _encoded(pair) for pair in headers]


def _encoded(pair: tuple[str, str]) -> tuple[bytes, bytes]:
    name, value = pair
    made = name.encode("latin-1"), value.encode("latin-1")
    if len(_encoded_before) < _HEADERS_KEPT and len(value) < _LONGEST_KEPT and name != "X-Request-Id":
        _encoded_before[pair] = made
    return made
