"""The sockets of this process, found by their addresses: granian opens them outside Python."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import suppress


def break_off(client: tuple[str, int] | None) -> None:
    """Close the connection of a client at once, so that the client does not take a partial response for a complete one.

    Does nothing if it cannot be found: behind a Unix socket, or on a system without /proc.
    """
    for connection in _sockets() if client else ():
        with suppress(OSError):
            if connection.getpeername()[:2] == (client[0], int(client[1])):  # type: ignore[index]
                connection.shutdown(socket.SHUT_RDWR)


def bound_unread_answers(seconds: int) -> None:
    """Let the kernel close connections whose client acknowledges nothing of what is sent for `seconds`.

    Set on the listening sockets, since accepted ones inherit it. Source: tcp(7), TCP_USER_TIMEOUT.
    """
    for listener in _sockets():
        with suppress(OSError):
            if listener.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
                listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, seconds * 1000)


def _sockets() -> Iterator[socket.socket]:
    if not sys.platform.startswith("linux"):
        return
    for name in os.listdir("/proc/self/fd"):
        with suppress(OSError):
            if not os.readlink(f"/proc/self/fd/{name}").startswith("socket:"):
                continue
            with socket.socket(fileno=os.dup(int(name))) as found:
                yield found
