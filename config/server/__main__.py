"""`python -m config.server`: serve Tollbook, safe from slow clients without a proxy in front.

SERVER_THREADS is the number of threads of a worker; arguments set the number of workers and where they listen.
"""

from __future__ import annotations

import argparse
import os
import resource
from pathlib import Path

from django.core.exceptions import ImproperlyConfigured
from granian.constants import HTTPModes, Interfaces
from granian.http import HTTP1Settings
from granian.log import LogLevels
from granian.server.mp import MPServer

from config.server.door import DoorTaken, clear_socket, hold_port

STOPPING_SECONDS = 30  # for calls in progress after SIGTERM
HEADER_SECONDS = 30  # for the next headers of a connection; an idle one is closed then
_OTHER_FILES = 256


def main() -> None:
    asked = _asked()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    os.environ.setdefault("TOLLBOOK_ENV", "production")
    try:
        from config.server.calls import MOST_CONNECTIONS  # noqa: PLC0415  the same
        from config.server.worker import threads, work  # noqa: PLC0415  reads the settings, which may refuse

        # Held for the whole life of this process: another server must not share the address.
        door = None if asked.uds else hold_port(asked.host, asked.port)
        if asked.uds:
            clear_socket(asked.uds)
    except (ImproperlyConfigured, DoorTaken) as refusal:
        raise SystemExit(f"Tollbook cannot start: {refusal}") from None
    server = MPServer(
        "config.wsgi:application",
        address=asked.host,
        port=asked.port,
        uds=asked.uds,
        interface=Interfaces.ASGINL,
        workers=asked.workers,
        http=HTTPModes.http1,  # cleartext HTTP/2 lets any client stop a worker: docs/decisions/0041
        websockets=False,
        backpressure=_connections(MOST_CONNECTIONS),
        http1_settings=HTTP1Settings(header_read_timeout=HEADER_SECONDS * 1000),
        runtime_blocking_threads=threads(),
        log_level=LogLevels.error,
        workers_kill_timeout=STOPPING_SECONDS,
    )
    server.serve(spawn_target=work)
    del door


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m config.server", description="Serve Tollbook.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--uds", type=Path, help="a Unix socket to listen on instead")
    parser.add_argument("--workers", type=int, default=2, help="processes (2)")
    return parser.parse_args()


def _connections(most: int) -> int:
    """Raise the limit of open files for this many connections, as far as the system allows; return the connections."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = most + _OTHER_FILES
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and soft < allowed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
        soft = allowed
    files = wanted if soft == resource.RLIM_INFINITY else min(soft, wanted)
    return max(files - _OTHER_FILES, files // 2)


if __name__ == "__main__":
    main()
