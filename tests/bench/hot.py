"""Charges of one hot account from many threads, by several processes at once.

Each is `python -m tests.bench.hot THREADS START SECONDS`; CHARGE_BATCHING sets whether they are batched.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import uuid
from typing import NamedTuple

from tests.bench.charging import SETTING_UP_SECONDS
from tests.bench.stage import ROOT

HOT_ACCOUNT = 1


class Charged(NamedTuple):
    """Total charges a second, and the 99th percentile of their duration."""

    a_second: float
    p99_milliseconds: float


def charge_hot_account(*, batching: bool, processes: int, threads: int, seconds: float) -> Charged:
    """Charge one account from this many threads of this many processes over the same span of time."""
    start = time.time() + SETTING_UP_SECONDS
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.bench.hot", str(threads), str(start), str(seconds)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True, env=os.environ | {"CHARGE_BATCHING": str(batching)},
        )
        for _ in range(processes)
    ]  # fmt: skip
    done = [worker.communicate()[0] for worker in workers]
    if any(worker.returncode for worker in workers):
        raise RuntimeError("a process that charges the hot account has failed")
    took = sorted(each for text in done for each in json.loads(text))
    return Charged(len(took) / seconds, 1000 * took[len(took) * 99 // 100])


def main(threads: str, start: str, seconds: str) -> None:
    import django

    django.setup()
    from usage.services.charges.calls import AskedCharge
    from usage.services.charges.charge import charge_request

    took: list[list[float]] = [[] for _ in range(int(threads))]

    def charge() -> float:
        began = time.perf_counter()
        charge_request(
            AskedCharge(
                user_id=HOT_ACCOUNT,
                endpoint="translate",
                method="POST",
                latency_ms=12,
                idempotency_key=str(uuid.uuid4()),
            )
        )
        return time.perf_counter() - began

    def work(mine: list[float]) -> None:
        for _ in range(20):  # connect, prepare, warm up
            charge()
        time.sleep(max(float(start) - time.time(), 0))
        end = time.time() + float(seconds)
        while time.time() < end:
            mine.append(charge())

    callers = [threading.Thread(target=work, args=[mine]) for mine in took]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    print(json.dumps([each for mine in took for each in mine]))


if __name__ == "__main__":
    main(*sys.argv[1:])
