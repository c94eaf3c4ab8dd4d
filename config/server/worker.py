"""A worker process: granian's HTTP server, whose calls go to our own threads without an event loop.

granian passes each call to a scheduler, which for ASGI starts a task on an asyncio loop. Ours accepts the call instead,
and granian's futures only need a loop that calls back (docs/decisions/0041). This uses internals of granian, which is
pinned exactly; tests/config/test_slow_clients.py tests them.
"""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from granian import _granian
from granian._signals import set_sync_signals
from granian.server.common import WORKERS_METHODS
from granian.server.mp import WorkerProcess

from config.server.calls import Front
from config.server.connections import bound_unread_answers

UNREAD_SECONDS = 60
LINGER_SECONDS = 5  # for responses that are still being read when a worker stops


class _Loop:
    """The part of an event loop that granian's futures use: a finished one calls back on its own thread."""

    def call_soon(self, callback: Callable[..., Any], *arguments: Any, context: Any = None) -> None:  # noqa: ARG002
        callback(*arguments)

    call_soon_threadsafe = call_soon


class _Scheduler(_granian.CallbackScheduler):
    """Pass each call to the front."""

    def __init__(self, loop: _Loop, take: Callable[[Any], None], *_: Any) -> None:  # noqa: ARG002
        super().__init__()
        self._schedule_fn = take


def threads() -> int:
    """Return how many calls a worker runs at a time."""
    number: int = settings.SERVER_THREADS
    return number


def _nothing(*_: Any) -> None:
    """Do nothing where granian enters and leaves a task."""


@WorkerProcess.wrap_target
def work(
    worker_id: int,
    application: Any,
    sock: Any,
    ipc: Any,
    loop: Any,  # noqa: ARG001
    runtime_mode: Any,
    runtime_threads: int,
    runtime_blocking_threads: int,
    blocking_threads: int,
    blocking_threads_idle_timeout: int,
    backpressure: int,
    task_impl: Any,  # noqa: ARG001
    http_mode: Any,
    http1_settings: Any,
    http2_settings: Any,
    websockets: bool,  # noqa: FBT001
    static_path: Any,
    log_access_fmt: Any,  # noqa: ARG001
    ssl_ctx: Any,
    scope_opts: Any,  # noqa: ARG001
    metrics: Any,
) -> None:
    """Serve until SIGTERM, and return when every call in progress has its response."""
    stopping, stopped = set_sync_signals(), threading.Event()
    stopping.add_cb(stopped.set)  # returns once every connection has ended
    kind: Any = _granian.ASGIWorker  # whose stub is outdated
    worker = kind(
        worker_id,
        sock,
        ipc,
        runtime_threads,
        runtime_blocking_threads,
        blocking_threads,
        blocking_threads_idle_timeout,
        backpressure,
        http_mode,
        http1_settings,
        http2_settings,
        websockets,
        static_path,
        *ssl_ctx,
        metrics,
    )
    front = Front(application, threads=threads())
    front.start()
    serve = getattr(worker, WORKERS_METHODS[runtime_mode][(sock[0] or sock[1]).is_uds()])
    serve(_Scheduler(_Loop(), front.take, None, _nothing, _nothing), _Loop(), stopping)
    bound_unread_answers(UNREAD_SECONDS)
    _end_with_its_calls(front, stopping, stopped)
    stopped.wait()


def _end_with_its_calls(front: Front, stopping: Any, stopped: threading.Event) -> None:
    """Let a stopping worker wait for calls, but not for idle connections."""

    def finish() -> None:
        while front.under_way:
            time.sleep(0.1)
        if not stopped.wait(LINGER_SECONDS):
            os._exit(0)

    def stop(*_: Any) -> None:
        stopping.set()
        threading.Thread(target=finish, name="finish", daemon=True).start()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)
