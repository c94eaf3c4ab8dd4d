"""One download at a time for each customer: what is streamed costs work for as long as somebody takes it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

from django.http import HttpRequest, StreamingHttpResponse


class _Download:
    """A streamed body that gives its customer's place back when it ends, is closed, or is forgotten."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self.is_over = False

    def __iter__(self) -> _Download:
        return self

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException:
            self.is_over = True
            raise

    def close(self) -> None:
        self.is_over = True


# In the environ of every call that our own server has taken: it closes each answer as soon as it has ended.
CLOSES_ANSWERS = "tollbook.closes_answers"

_lock = threading.Lock()
_under_way: WeakValueDictionary[int, _Download] = WeakValueDictionary()


def begin_download(request: HttpRequest, answer: StreamingHttpResponse) -> bool:
    """Let this answer be its customer's one download of this process; False while there is another.

    An answer to nobody that is known needs no place; nor does one that nobody is sure to close, on another server.
    """
    user: Any = request.__dict__.get("user")
    if getattr(user, "pk", None) is None or not request.META.get(CLOSES_ANSWERS):
        return True
    with _lock:
        under_way = _under_way.get(user.pk)
        if under_way is not None and not under_way.is_over:
            return False
        download = _Download(iter(answer.streaming_content))  # type: ignore[arg-type]  # none of ours is async
        answer.streaming_content = download
        _under_way[user.pk] = download
        return True
