"""One download at a time for each customer: a stream costs work for as long as its client reads."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any
from weakref import WeakValueDictionary

from django.http import HttpRequest, StreamingHttpResponse


class _Download:
    """A streamed body that releases its customer's place when it ends, is closed, or is garbage-collected."""

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


# In the environ of every call of our own server, which closes each response as soon as it has ended.
CLOSES_ANSWERS = "tollbook.closes_answers"

_lock = threading.Lock()
_under_way: WeakValueDictionary[int, _Download] = WeakValueDictionary()


def begin_download(request: HttpRequest, answer: StreamingHttpResponse) -> bool:
    """Make this response its customer's one download in this process; return False if there is another.

    Responses to anonymous callers need no place, nor do those on another server, which may not close them.
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
