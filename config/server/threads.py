"""The threads that run calls, and lanes that bound calls of one kind."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]

logger = logging.getLogger(__name__)


class Threads:
    """A fixed number of threads that run jobs in order. Each thread keeps its database connection."""

    def __init__(self, number: int, *, most_waiting: int) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._number = number
        self._most_waiting = most_waiting

    def start(self) -> None:
        for n in range(self._number):
            threading.Thread(target=self._work, name=f"call-{n + 1}", daemon=True).start()

    def run(self, job: Job) -> bool:
        """Queue a job for the next free thread; return False, without queueing it, if too many wait already."""
        if self._jobs.qsize() >= self._most_waiting:
            return False
        self._jobs.put(job)
        return True

    def go_on(self, job: Job) -> None:
        """Queue a job that continues one which was accepted."""
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except BaseException:  # a thread that ended here would not be replaced
                logger.exception("A call failed.")
            del job  # otherwise its objects live until the next job


class Lane:
    """A bounded number of jobs of one kind at a time; further ones wait without a thread."""

    def __init__(self, threads: Threads, most: int, *, most_waiting: int) -> None:
        self._threads = threads
        self._free = most
        self._most_waiting = most_waiting
        self._waiting: deque[Job] = deque()
        self._lock = threading.Lock()

    def run(self, job: Job) -> bool:
        """Queue a job; return False, without queueing it, if too many wait already."""
        with self._lock:
            if self._free == 0:
                if len(self._waiting) >= self._most_waiting:
                    return False
                self._waiting.append(job)
                return True
            self._free -= 1
        self._threads.go_on(lambda: self._do(job))
        return True

    def _do(self, job: Job) -> None:
        try:
            job()
        finally:
            with self._lock:
                following = self._waiting.popleft() if self._waiting else None
                self._free += following is None
            if following is not None:
                self._threads.go_on(lambda: self._do(following))
