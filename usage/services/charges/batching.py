"""Batch concurrent calls for one busy name: callers that come during a call share the next one.

Leader and followers, without a thread of its own. The first caller for a name leads, and calls at once. Later callers
wait; when the leader is done, the one that has waited longest leads, and calls once for all the others. A name without
concurrent callers costs only a lookup in a table.

If a leader fails or dies, each of the others gets its result or calls alone: what was done for it already must be safe
to repeat. No caller waits longer than `patience_seconds`.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from enum import Enum, auto
from typing import Any, Generic, TypeVar

MOST_TOGETHER = 50
PATIENCE_SECONDS = 5.0

Item = TypeVar("Item")
Answer = TypeVar("Answer")
logger = logging.getLogger(__name__)


class _Turn(Enum):
    """The state of a caller: waiting, or what it does next."""

    WAITS = auto()
    LEADS = auto()
    IS_IN_A_BATCH = auto()  # in a batch that is under way
    IS_ANSWERED = auto()
    GOES_ALONE = auto()


class _Caller:
    """One caller and its turn; `queue` is where it waits, or its followers. The bell ends its waiting."""

    __slots__ = ("answer", "bell", "item", "key", "leads", "queue", "turn")

    def __init__(self, key: Hashable, item: Any) -> None:
        self.key, self.item = key, item
        self.queue: deque[_Caller] = deque()
        self.leads = False
        self.turn = _Turn.WAITS
        self.answer: Any = None
        self.bell = threading.Lock()
        self.bell.acquire()

    def tell(self, turn: _Turn) -> None:
        self.turn = turn
        if self.bell.locked():
            self.bell.release()


class Batcher(Generic[Item, Answer]):
    """Calls `one` with an item, or `together` with several of one name, which returns a result each, in their order.

    Both must be safe to repeat for an item. If `together` raises, its items are called one by one, each by its own
    caller: so an invalid one never fails the others, and gets the error that it would have got alone.
    """

    def __init__(
        self,
        *,
        one: Callable[[Item], Answer],
        together: Callable[[Sequence[Item]], Iterable[Answer]],
        most_together: int = MOST_TOGETHER,
        patience_seconds: float = PATIENCE_SECONDS,
    ) -> None:
        self._one, self._together = one, together
        self._most_together, self._patience_seconds = most_together, patience_seconds
        self._mutex = threading.Lock()
        # The callers that wait for each name. A name is in here as long as it has a leader.
        self._queues: dict[Hashable, deque[_Caller]] = {}

    def call(self, name: Hashable, key: Hashable, item: Item) -> Answer:
        """Return the result of `one`, called alone or in a batch; of two items with one key, the second waits."""
        me = _Caller(key, item)
        try:
            self._join(name, me)
            turn = self._await_turn(name, me)
            if turn is _Turn.LEADS:
                turn = self._lead(me)
            answer: Answer = me.answer if turn is _Turn.IS_ANSWERED else self._one(item)
            return answer
        finally:
            self._leave(name, me)

    def _join(self, name: Hashable, me: _Caller) -> None:
        with self._mutex:
            queue = self._queues.get(name)
            if queue is None:
                me.turn, me.leads = _Turn.LEADS, True
                self._queues[name] = me.queue
            else:
                me.queue = queue
                queue.append(me)

    def _await_turn(self, name: Hashable, me: _Caller) -> _Turn:
        if me.leads or me.bell.acquire(timeout=self._patience_seconds):
            return me.turn
        with self._mutex:
            if me.turn is _Turn.WAITS:
                self._send_alone(name, me)
            if me.turn in {_Turn.WAITS, _Turn.IS_IN_A_BATCH}:
                me.turn = _Turn.GOES_ALONE
            return me.turn

    def _send_alone(self, name: Hashable, me: _Caller) -> None:
        """Let all callers behind a stuck or dead leader go alone; the next caller for the name leads."""
        if self._queues.get(name) is me.queue:
            del self._queues[name]
        while me.queue:
            me.queue.popleft().tell(_Turn.GOES_ALONE)

    def _lead(self, me: _Caller) -> _Turn:
        """Call for all waiting callers, and return the leader's own turn after that."""
        batch = self._next_batch(me)
        if len(batch) == 1:
            return _Turn.GOES_ALONE
        me.turn = _Turn.IS_IN_A_BATCH
        try:
            answers = self._together([caller.item for caller in batch])
            for caller, answer in zip(batch, answers, strict=True):
                caller.answer = answer
                caller.tell(_Turn.IS_ANSWERED)
        except Exception as error:  # noqa: BLE001  each caller gets its own error alone
            logger.warning("%s calls go one by one, since together they met a %s.", len(batch), type(error).__name__)
        finally:
            for caller in batch:
                if caller.turn is _Turn.IS_IN_A_BATCH:
                    caller.tell(_Turn.GOES_ALONE)
        return me.turn

    def _next_batch(self, me: _Caller) -> list[_Caller]:
        """Return the callers that have waited longest, no key twice: the second of a twin waits for the next batch."""
        with self._mutex:
            batch = {me.key: me}
            for caller in me.queue:
                if len(batch) == self._most_together:
                    break
                batch.setdefault(caller.key, caller)
            members = list(batch.values())
            for caller in members[1:]:
                me.queue.remove(caller)
                caller.turn = _Turn.IS_IN_A_BATCH
            return members

    def _leave(self, name: Hashable, me: _Caller) -> None:
        """Pass the lead on, or leave the queue if the caller was interrupted while it waited."""
        with self._mutex:
            if me.leads and self._queues.get(name) is me.queue:
                if me.queue:
                    successor = me.queue.popleft()
                    successor.leads = True
                    successor.tell(_Turn.LEADS)
                else:
                    del self._queues[name]
            elif me.turn is _Turn.WAITS and me in me.queue:
                me.queue.remove(me)
