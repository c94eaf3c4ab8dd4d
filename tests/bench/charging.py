"""Charges from Python, by several processes at once.

Each is `python -m tests.bench.charging WAY SEED START SECONDS ACCOUNTS`.
"""

from __future__ import annotations

import random
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

from tests.bench.stage import ACCOUNTS, ROOT

SETTING_UP_SECONDS = 8.0  # eight processes import Django on two cores


def charges_a_second(way: str, *, processes: int, seconds: float, accounts: int = ACCOUNTS) -> float:
    """Charge from this many processes over the same span of time, and return the total charges a second."""
    start = time.time() + SETTING_UP_SECONDS
    workers = [
        subprocess.Popen(
            [sys.executable, "-m", "tests.bench.charging", way, str(seed), str(start), str(seconds), str(accounts)],
            cwd=ROOT, stdout=subprocess.PIPE, text=True,
        )
        for seed in range(processes)
    ]  # fmt: skip
    done = [worker.communicate()[0] for worker in workers]
    if any(worker.returncode for worker in workers):
        raise RuntimeError(f"a process that charges the {way} way has failed")
    return sum(map(int, done)) / seconds


def way_of_charging(way: str) -> Callable[..., Any]:
    """Return a function that charges `user_id` once a key: `service`, `twice`, by a `hold`, or `naive`."""
    if way == "hold":
        return _hold_and_capture
    if way == "naive":
        from tests.bench.naive import charge  # models need settings first

        return lambda **asked: charge(endpoint="translate", **asked)
    from usage.services.charges.calls import AskedCharge
    from usage.services.charges.charge import charge_request

    def once(**asked: Any) -> None:
        charge_request(AskedCharge(endpoint="translate", method="POST", latency_ms=12, **asked))

    def twice(user_id: int, idempotency_key: str) -> None:
        once(user_id=user_id, idempotency_key=idempotency_key)
        once(user_id=user_id, idempotency_key=f"{idempotency_key} again")

    return twice if way == "twice" else once


def _hold_and_capture(user_id: int, idempotency_key: str) -> None:
    from usage.services.holding import AskedCapture, AskedHold, capture_hold, hold_for_request

    opened = hold_for_request(
        AskedHold(user_id=user_id, endpoint="translate", method="POST", idempotency_key=idempotency_key)
    )
    capture_hold(AskedCapture(hold_id=opened.hold.pk, latency_ms=12, idempotency_key=idempotency_key))


def main(way: str, seed: str, start: str, seconds: str, accounts: str) -> None:
    import django

    django.setup()
    charge = way_of_charging(way)
    draw = random.Random(int(seed) + int(float(start)))
    for _ in range(20):  # connect, prepare, warm up
        charge(user_id=draw.randint(1, int(accounts)), idempotency_key=str(uuid.uuid4()))
    if (early := float(start) - time.time()) > 0:
        time.sleep(early)
    end, count = time.time() + float(seconds), 0
    while time.time() < end:
        charge(user_id=draw.randint(1, int(accounts)), idempotency_key=str(uuid.uuid4()))
        count += 1
    print(count)


if __name__ == "__main__":
    main(*sys.argv[1:])
