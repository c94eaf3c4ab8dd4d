"""A remote server at its worst: it accepts connections and never answers."""

from __future__ import annotations

import socket
import threading
from typing import Any


class Silent:
    """A socket that accepts connections and reads nothing; `connections` counts them."""

    def __init__(self) -> None:
        self._listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port: int = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._accepted: list[socket.socket] = []
        self._changed = threading.Condition()

    @property
    def connections(self) -> int:
        return len(self._accepted)

    def wait_for(self, number: int, *, seconds: float = 10) -> None:
        """Wait until that many connections have come."""
        with self._changed:
            assert self._changed.wait_for(lambda: self.connections >= number, timeout=seconds), (
                f"{self.connections} of {number} came"
            )

    def __enter__(self) -> Silent:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self._listening.close()
        for one in self._accepted:
            one.close()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listening.accept()
            except OSError:
                return
            with self._changed:
                self._accepted.append(accepted)
                self._changed.notify_all()
