"""The threads that run calls, and the narrower lane for answers that are made piece by piece."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue

Job = Callable[[], None]

logger = logging.getLogger(__name__)


class Threads:
    """A fixed number of threads that take jobs in their order. Each thread keeps its database connection."""

    def __init__(self, number: int, *, most_waiting: int) -> None:
        self._jobs: SimpleQueue[Job] = SimpleQueue()
        self._number = number
        self._most_waiting = most_waiting

    def start(self) -> None:
        for n in range(self._number):
            threading.Thread(target=self._work, name=f"call-{n + 1}", daemon=True).start()

    def run(self, job: Job) -> bool:
        """Have a job done as soon as a thread is free; False, and not done, if too many wait already."""
        if self._jobs.qsize() >= self._most_waiting:
            return False
        self._jobs.put(job)
        return True

    def go_on(self, job: Job) -> None:
        """Have a job done that is part of one which was taken on."""
        self._jobs.put(job)

    def _work(self) -> None:
        while True:
            job = self._jobs.get()
            try:
                job()
            except BaseException:  # a thread that ended here would be missed for ever
                logger.exception("A call could not be answered.")
            del job  # else what it holds stays until the next one


class Lane:
    """At most so many jobs of a kind at a time; so many others wait without a thread."""

    def __init__(self, threads: Threads, most: int, *, most_waiting: int) -> None:
        self._threads = threads
        self._free = most
        self._most_waiting = most_waiting
        self._waiting: deque[Job] = deque()
        self._lock = threading.Lock()

    def run(self, job: Job) -> bool:
        """Have a job done in its turn; False, and not done, if too many wait already."""
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
