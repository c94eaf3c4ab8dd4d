"""Turns with a provider: requests that wait for a provider's server hold few of our threads, and not for long.

Nothing here knows how the server assigns its threads; it counts the requests of this process that are calling a
provider now. Commands and jobs keep no customer and no thread of the server waiting: they need no turn.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from django.conf import settings

from config.values.request_ids import is_in_request
from ledger.errors import PaymentProviderBusy

TURN_SECONDS = 5.0
"""The most time that all calls to a provider within one request may take together."""


class _Turn(threading.local):
    until: float | None = None  # on the monotonic clock; None: this thread has no turn


_turn = _Turn()
_counting = threading.Lock()
_taken = 0


@contextmanager
def turn() -> Iterator[None]:
    """Take one of the turns that the requests of a process have with a provider, while the block runs.

    Take it before anything is written, so that nothing is half-done when there is none. Within a turn, and outside of
    requests, it takes nothing.

    :raises PaymentProviderBusy: at once, if PROVIDER_CALLS_AT_ONCE requests have one
    """
    if not is_in_request() or _turn.until is not None:
        yield
        return
    _take()
    _turn.until = time.monotonic() + TURN_SECONDS
    try:
        yield
    finally:
        _turn.until = None
        _give_back()


def seconds_left() -> float:
    """Return for how many seconds the next call of this turn may wait: 0 or less when its time is over."""
    return TURN_SECONDS if _turn.until is None else _turn.until - time.monotonic()


def _take() -> None:
    global _taken
    with _counting:
        if _taken >= settings.PROVIDER_CALLS_AT_ONCE:
            raise PaymentProviderBusy
        _taken += 1


def _give_back() -> None:
    global _taken
    with _counting:
        _taken -= 1
