"""Which calls are batched, and what happens when a leader fails or dies; without a database."""

import signal
import threading
import time
from contextlib import contextmanager

import pytest

from usage.services.charges.batching import Batcher

JIFFY = 0.02
SOON = 5


class Killed(BaseException):
    """An exception that ends a thread without being caught."""


class Stage:
    """A batcher whose calls are recorded, and wait at a gate while it is shut."""

    def __init__(self, *, together=None, **options):
        self.alone, self.batches = [], []
        self.gate, self.called = threading.Event(), threading.Semaphore(0)
        self.gate.set()
        self._then = together or (lambda items: [f"{item}!" for item in items])
        self.batcher = Batcher(one=self._one, together=self._together, **{"patience_seconds": SOON} | options)

    def _one(self, item):
        self.alone.append(item)
        self.called.release()
        assert self.gate.wait(SOON)
        return f"{item}."

    def _together(self, items):
        self.batches.append(items)
        self.called.release()
        assert self.gate.wait(SOON)
        return self._then(items)

    def start(self, item, *, key=None, name="n"):
        caller = Caller(lambda: self.batcher.call(name, key or item, item))
        caller.start()
        return caller

    def behind_a_leader(self, items, **asked):
        """Let one lead, alone and at the gate, and others queue behind it in this order; then open the gate."""
        self.gate.clear()
        callers = [self.start("first", **asked)]
        assert self.called.acquire(timeout=SOON)
        for number, item in enumerate(items, 1):
            callers.append(self.start(item, **asked))
            self.wait_for_queue(number)
        return callers

    def wait_for_queue(self, length, name="n"):
        for _ in range(int(SOON / 0.001)):
            if len(self.batcher._queues.get(name, ())) == length:
                return
            time.sleep(0.001)
        raise AssertionError(f"never {length} in the queue")

    def is_tidy(self):
        return self.batcher._queues == {}


class Caller(threading.Thread):
    def __init__(self, call):
        super().__init__(daemon=True)
        self._call = call

    def run(self):
        try:
            self.answer = self._call()
        except BaseException as death:  # noqa: BLE001  a thread's death is an answer, too
            self.answer = death

    def answered(self):
        self.join(SOON + 5)
        assert not self.is_alive()
        return self.answer


@contextmanager
def interrupted_after(seconds):
    """Interrupt this thread, which is the main one, as Ctrl-C would."""

    def kill(*_):
        raise Killed

    before = signal.signal(signal.SIGALRM, kill)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def answers(callers):
    return [caller.answered() for caller in callers]


def test_a_lone_caller_calls_alone_and_leaves_nothing_behind():
    stage = Stage()

    assert stage.batcher.call("n", "a", "a") == "a."
    assert (stage.batches, stage.is_tidy()) == ([], True)


def test_callers_during_a_call_go_together_in_their_order():
    stage = Stage()
    callers = stage.behind_a_leader(["a", "b", "c"])

    stage.gate.set()

    assert answers(callers) == ["first.", "a!", "b!", "c!"]
    assert (stage.alone, stage.batches, stage.is_tidy()) == (["first"], [["a", "b", "c"]], True)


def test_a_caller_that_waits_without_others_calls_alone():
    stage = Stage()
    callers = stage.behind_a_leader(["a"])

    stage.gate.set()

    assert answers(callers) == ["first.", "a."]
    assert stage.batches == []


def test_names_do_not_wait_for_each_other():
    stage = Stage()
    stage.gate.clear()
    callers = [stage.start(name, name=name) for name in "abc"]

    for _ in callers:
        assert stage.called.acquire(timeout=SOON)
    stage.gate.set()

    assert sorted(answers(callers)) == ["a.", "b.", "c."]
    assert stage.is_tidy()


def test_a_batch_takes_only_so_many_and_the_rest_go_with_the_next():
    stage = Stage(most_together=3)
    callers = stage.behind_a_leader([str(n) for n in range(7)])

    stage.gate.set()

    assert answers(callers) == ["first.", *(f"{n}!" for n in range(6)), "6."]
    assert stage.batches == [["0", "1", "2"], ["3", "4", "5"]]


def test_only_the_second_of_a_twin_waits_for_the_next_batch():
    stage = Stage()
    stage.gate.clear()
    callers = [stage.start("first")]
    assert stage.called.acquire(timeout=SOON)
    for number, (item, key) in enumerate([("a1", "a"), ("b1", "b"), ("a2", "a"), ("c", "c"), ("b2", "b")], 1):
        callers.append(stage.start(item, key=key))
        stage.wait_for_queue(number)

    stage.gate.set()

    assert answers(callers) == ["first.", "a1!", "b1!", "a2!", "c!", "b2!"]
    assert stage.batches == [["a1", "b1", "c"], ["a2", "b2"]]


def test_an_error_of_one_alone_is_its_own():
    stage = Stage()

    def fail(item):
        raise ValueError(item)

    batcher = Batcher(one=fail, together=stage._together)

    with pytest.raises(ValueError, match="a"):
        batcher.call("n", "a", "a")
    assert batcher._queues == {}


def test_when_a_batch_fails_each_of_its_items_is_called_alone_by_its_own_caller():
    def fail(items):
        raise ValueError("b is bad")

    stage = Stage(together=fail)
    callers = stage.behind_a_leader(["a", "b", "c"])

    stage.gate.set()

    assert answers(callers) == ["first.", "a.", "b.", "c."]
    assert (stage.batches, stage.is_tidy()) == ([["a", "b", "c"]], True)


def too_few(items):
    return ["only one!"]


def dies_at_once(items):
    raise Killed


def dies_after_the_second(items):
    yield from (f"{item}!" for item in items[:2])
    raise Killed


def fails_after_the_second(items):
    yield from (f"{item}!" for item in items[:2])
    raise ValueError


@pytest.mark.parametrize(
    ("together", "expected"),
    [
        (dies_at_once, ["killed", "b.", "c.", "d."]),
        (dies_after_the_second, ["killed", "b!", "c.", "d."]),
        (fails_after_the_second, ["a!", "b!", "c.", "d."]),
        (too_few, ["only one!", "b.", "c.", "d."]),
    ],
)
def test_when_a_leader_dies_or_fails_the_others_are_answered_or_call_alone(together, expected):
    stage = Stage(together=together)
    callers = stage.behind_a_leader(["a", "b", "c", "d"])

    stage.gate.set()

    assert ["killed" if isinstance(answer, Killed) else answer for answer in answers(callers)[1:]] == expected
    assert stage.is_tidy()


def test_when_the_first_leader_dies_the_next_one_leads():
    stage = Stage()
    one = stage.batcher._one

    def die(item):
        one(item)
        raise Killed

    stage.batcher._one = lambda item: die(item) if item == "first" else one(item)
    callers = stage.behind_a_leader(["a", "b"])

    stage.gate.set()

    assert isinstance(callers[0].answered(), Killed)
    assert answers(callers[1:]) == ["a!", "b!"]
    assert stage.is_tidy()


class TestACallerThatHasWaitedTooLong:
    def test_caller_calls_alone_with_all_who_wait_and_the_next_leads_again(self):
        stage = Stage(patience_seconds=0.2)
        callers = stage.behind_a_leader(["a", "b"])
        for _ in callers[1:]:
            assert stage.called.acquire(timeout=SOON)
        afterwards = stage.start("c")
        assert stage.called.acquire(timeout=SOON)

        stage.gate.set()

        assert answers([*callers, afterwards]) == ["first.", "a.", "b.", "c."]
        assert (stage.batches, stage.is_tidy()) == ([], True)

    def test_caller_in_a_stuck_batch_calls_alone(self):
        stage = Stage(patience_seconds=0.3)
        lead = threading.Event()
        one = stage.batcher._one
        stage.batcher._one = lambda item: one(item) if item != "first" else str(lead.wait(SOON))
        callers = [stage.start("first")]
        stage.wait_for_queue(0)
        for number, item in enumerate("ab", 1):
            callers.append(stage.start(item))
            stage.wait_for_queue(number)
        stage.gate.clear()
        lead.set()

        assert stage.called.acquire(timeout=SOON)  # the batch, at the gate
        assert stage.called.acquire(timeout=SOON)  # b, out of patience
        stage.gate.set()

        assert answers(callers) == ["True", "a!", "b."]
        assert stage.is_tidy()

    def test_caller_behind_a_dead_leader_calls_alone(self):
        stage = Stage(patience_seconds=0.1)
        stage.batcher._leave = lambda name, me: None  # killed where no code of its own runs any more
        assert stage.batcher.call("n", "first", "first") == "first."
        del stage.batcher._leave

        assert stage.batcher.call("n", "a", "a") == "a."
        assert stage.is_tidy()


def test_an_interrupted_waiting_caller_joins_no_batch():
    stage = Stage()
    callers = stage.behind_a_leader([])

    with interrupted_after(5 * JIFFY), pytest.raises(Killed):
        stage.batcher.call("n", "a", "a")
    stage.wait_for_queue(0)
    callers.append(stage.start("b"))
    stage.wait_for_queue(1)
    stage.gate.set()

    assert answers(callers) == ["first.", "b."]
    assert (stage.batches, stage.is_tidy()) == ([], True)


def test_many_callers_of_few_names_are_each_answered_for_their_own_item():
    stage = Stage(together=lambda items: [f"{item}." for item in items])
    wrong = []

    def work(number):
        for turn in range(200):
            item = f"{number}-{turn}"
            if stage.batcher.call(turn % 3, item, item) != f"{item}.":
                wrong.append(item)

    threads = [threading.Thread(target=work, args=[number]) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)

    assert wrong == []
    assert len(stage.alone) + sum(map(len, stage.batches)) == 16 * 200
    assert stage.is_tidy()
