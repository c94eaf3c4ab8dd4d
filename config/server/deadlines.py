"""Deadlines for clients: to send a body, to read a response. One thread watches all of them."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

_LOOKS_EVERY_SECONDS = 0.25

logger = logging.getLogger(__name__)


class Deadlines:
    """Call back for every deadline that was not called off in time. Setting and calling off are cheap."""

    def __init__(self) -> None:
        self._pending: dict[int, tuple[float, Callable[[], None]]] = {}

    def start(self) -> None:
        threading.Thread(target=self._watch, name="deadlines", daemon=True).start()

    def set(self, name: object, seconds: float, late: Callable[[], None]) -> None:
        """Call `late` after `seconds`, on the clock's thread, unless the deadline is called off or set again."""
        self._pending[id(name)] = (time.monotonic() + seconds, late)

    def call_off(self, name: object) -> bool:
        """Call a deadline off; return whether it was pending. Only one of all callers and the clock gets True."""
        return self._pending.pop(id(name), None) is not None

    def _watch(self) -> None:
        while True:
            time.sleep(_LOOKS_EVERY_SECONDS)
            if self._pending:
                self._look(time.monotonic())

    def _look(self, now: float) -> None:
        for name, (ends, late) in list(self._pending.items()):
            if ends > now or self._pending.pop(name, None) is None:
                continue
            try:
                late()
            except Exception:
                logger.exception("The callback of a deadline failed.")
