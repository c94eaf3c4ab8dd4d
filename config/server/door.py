"""The address where a server listens, held by one server: its workers share it, a second server cannot.

`python -m config.server.door PORT` checks that the port is free, before a server is set up.
"""

from __future__ import annotations

import errno
import socket
import sys
from contextlib import suppress
from pathlib import Path


class DoorTaken(Exception):
    """Another process listens here, or the address does not belong to this machine."""


def hold_port(host: str, port: int) -> socket.socket:
    """Reserve an address for this server, for as long as the returned socket stays open.

    Workers listen with SO_REUSEPORT, so those of a second server would silently join them. This socket is bound without
    it, which fails if any process listens, and admits only later sockets that have it: this server's workers.

    :raises DoorTaken: if another server is there
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    held = socket.socket(family, socket.SOCK_STREAM)
    try:
        if sys.platform.startswith("linux"):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        held.bind((host, port))
        if sys.platform.startswith("linux"):
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 0)  # only needed for remains of an earlier server
            held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    except OSError as error:
        held.close()
        what = "is in use" if error.errno == errno.EADDRINUSE else f"cannot be listened on ({error.strerror})"
        raise DoorTaken(f"port {port} of {host} {what}. Set another PORT.") from None
    return held


def clear_socket(path: Path) -> None:
    """Delete the file of a Unix socket on which no process listens.

    :raises DoorTaken: if a process does
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        try:
            asking.connect(str(path))
        except FileNotFoundError:
            return
        except OSError:
            with suppress(FileNotFoundError):
                path.unlink()
            return
    raise DoorTaken(f"another server listens on {path}.")


def main(port: str) -> None:
    """Check that a server could listen on a port of this machine; exit 1 with a sentence if not."""
    if not (port.isascii() and port.isdigit() and 0 < int(port) < 65_536):
        raise SystemExit(f"Tollbook cannot start: PORT must be a whole number from 1 to 65535, not {port!r}.")
    try:
        hold_port("127.0.0.1", int(port)).close()
    except DoorTaken as refusal:
        raise SystemExit(f"Tollbook cannot start: {refusal}") from None


if __name__ == "__main__":
    main(sys.argv[1])
