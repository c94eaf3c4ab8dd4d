"""Look-ups of hosts with a deadline, which the system's resolver does not offer.

`getaddrinfo` has no deadline: a name server that never responds blocks its caller for half a minute or longer, and
customers choose the names. So each look-up runs in its own daemon thread: callers wait for it only as long as they ask,
and it does not keep the process from exiting.
"""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future
from typing import Any

MOST_AT_ONCE = 32
"""Look-ups that may be under way in a process, those that were given up included."""


class TooManyLookUps(OSError):
    """Too many look-ups are waiting for name servers; try this one again later."""


Found = list[tuple[Any, ...]]

_lock = threading.Lock()
_under_way: dict[tuple[str, int], Future[Found]] = {}


def look_up(host: str, port: int, *, within_seconds: float) -> Found:
    """Return the addresses of a host as `getaddrinfo` does.

    A second caller for a host that is being looked up waits for the same result: one host uses at most one thread.

    :raises TimeoutError: if the resolver does not respond in time
    :raises TooManyLookUps: if too many others are in progress
    :raises OSError, UnicodeError: as `getaddrinfo`
    """
    with _lock:
        asked = _under_way.get((host, port))
        if asked is None:
            if len(_under_way) >= MOST_AT_ONCE:
                raise TooManyLookUps
            asked = _under_way[host, port] = Future()
            threading.Thread(target=_ask, args=(host, port, asked), name="look-up", daemon=True).start()
    return asked.result(timeout=max(within_seconds, 0))


def _ask(host: str, port: int, asked: Future[Found]) -> None:
    found: Found = []
    problem: Exception | None = None
    try:
        found = list(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP))
    except Exception as raised:  # noqa: BLE001  raised again by those who wait
        problem = raised
    with _lock:
        del _under_way[host, port]
    if problem is None:
        asked.set_result(found)
    else:
        asked.set_exception(problem)
