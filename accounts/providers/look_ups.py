"""Look-ups of hosts that come to an end in time, whatever the system's resolver does.

`getaddrinfo` knows no deadline: a name server that never answers holds its caller for half a minute and longer, and
customers choose the names. So each look-up has a thread of its own, which nobody waits for longer than was asked, and
which keeps no process from ending.
"""

from __future__ import annotations

import socket
import threading
from concurrent.futures import Future
from typing import Any

MOST_AT_ONCE = 32
"""Look-ups that may be under way in a process, those that were given up included."""


class TooManyLookUps(OSError):
    """As many look-ups as may be under way wait for name servers that do not answer: this one has to come later."""


Found = list[tuple[Any, ...]]

_lock = threading.Lock()
_under_way: dict[tuple[str, int], Future[Found]] = {}


def look_up(host: str, port: int, *, within_seconds: float) -> Found:
    """Ask the system's resolver for the addresses of a host, as `getaddrinfo` answers.

    A second caller for a host that is being looked up waits for the same answer: one host takes one thread at most.

    :raises TimeoutError: if it does not answer in time
    :raises TooManyLookUps: if too many others are under way
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
