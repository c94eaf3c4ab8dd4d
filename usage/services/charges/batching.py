"""Calls for one busy name go together: whoever comes while a call is under way goes along with the next.

Leader and followers, without a thread of its own. The first caller for a name leads, and calls at once. Who comes
meanwhile waits; when the leader is done, the one who has waited longest leads, and takes the others along in one call.
A name that nobody else is calling costs a look into a table, no more.

Whatever becomes of a leader, each of the others is answered or calls alone: what was done for it already must be safe
to repeat. Nobody waits longer than `patience_seconds`.
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
    """What a caller has been told to do, or is waiting to be told."""

    WAITS = auto()
    LEADS = auto()
    RIDES = auto()  # in a batch that is under way
    IS_ANSWERED = auto()
    GOES_ALONE = auto()


class _Caller:
    """One caller and its turn; `queue` is where it waits, or who waits for it. The bell ends its waiting."""

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
    """Calls `one` with an item, or `together` with several of one name; `together` answers each, in their order.

    Both must be safe to repeat for an item. Where `together` raises, its items are called one by one, each by its own
    caller: so a bad one never fails its neighbours, and gets the error that it would have got alone.
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
        # Who waits for each name. A name stands here as long as somebody leads it.
        self._queues: dict[Hashable, deque[_Caller]] = {}

    def call(self, name: Hashable, key: Hashable, item: Item) -> Answer:
        """Answer as `one` does, at once or in company; of two items with one key, the second waits for the first."""
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
                self._break_up(name, me)
            if me.turn in {_Turn.WAITS, _Turn.RIDES}:
                me.turn = _Turn.GOES_ALONE
            return me.turn

    def _break_up(self, name: Hashable, me: _Caller) -> None:
        """Let all go alone who wait behind a leader that is stuck or dead; the next caller for the name leads anew."""
        if self._queues.get(name) is me.queue:
            del self._queues[name]
        while me.queue:
            me.queue.popleft().tell(_Turn.GOES_ALONE)

    def _lead(self, me: _Caller) -> _Turn:
        """Call for all who wait; answers what that makes of the leader's own turn."""
        batch = self._board(me)
        if len(batch) == 1:
            return _Turn.GOES_ALONE
        me.turn = _Turn.RIDES
        try:
            answers = self._together([caller.item for caller in batch])
            for caller, answer in zip(batch, answers, strict=True):
                caller.answer = answer
                caller.tell(_Turn.IS_ANSWERED)
        except Exception as error:  # noqa: BLE001  whatever it was, each finds out alone
            logger.warning("%s calls go one by one, since together they met a %s.", len(batch), type(error).__name__)
        finally:
            for caller in batch:
                if caller.turn is _Turn.RIDES:
                    caller.tell(_Turn.GOES_ALONE)
        return me.turn

    def _board(self, me: _Caller) -> list[_Caller]:
        """Take those along who have waited longest, no key twice: the second of a twin waits for the next batch."""
        with self._mutex:
            batch = {me.key: me}
            for caller in me.queue:
                if len(batch) == self._most_together:
                    break
                batch.setdefault(caller.key, caller)
            riders = list(batch.values())
            for caller in riders[1:]:
                me.queue.remove(caller)
                caller.turn = _Turn.RIDES
            return riders

    def _leave(self, name: Hashable, me: _Caller) -> None:
        """Pass the lead on; whoever was interrupted while waiting waits no more."""
        with self._mutex:
            if me.leads and self._queues.get(name) is me.queue:
                if me.queue:
                    heir = me.queue.popleft()
                    heir.leads = True
                    heir.tell(_Turn.LEADS)
                else:
                    del self._queues[name]
            elif me.turn is _Turn.WAITS and me in me.queue:
                me.queue.remove(me)
