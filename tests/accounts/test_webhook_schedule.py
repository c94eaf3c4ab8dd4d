"""When a failed delivery is tried again."""

from __future__ import annotations

import datetime as dt
import itertools

import pytest

from accounts.services.webhooks.schedule import PAUSES, next_attempt, requested_wait
from tests.accounts.webhooks import NOW

DAY = dt.timedelta(hours=24)


def all_attempts(jitter, wait=None):
    """Return the times of all attempts of a delivery that always fails, each made exactly when it is due."""
    moments, now = [], NOW
    while now is not None:
        moments.append(now)
        now = next_attempt(failures=len(moments), due_since=NOW, now=now, jitter=jitter, wait=wait)
    return moments


def test_pauses_are_those_of_the_standard_and_end_within_a_day():
    moments = all_attempts(jitter=0)

    assert [after - before for before, after in itertools.pairwise(moments)] == list(PAUSES)
    assert DAY - dt.timedelta(hours=1) < moments[-1] - NOW < DAY


def test_jitter_shortens_each_pause_by_up_to_a_tenth():
    moments = all_attempts(jitter=1)

    assert [after - before for before, after in itertools.pairwise(moments)] == [pause * 0.9 for pause in PAUSES]


def test_an_endpoint_that_asks_for_an_hour_gets_it():
    wait = dt.timedelta(hours=1)

    assert next_attempt(failures=1, due_since=NOW, now=NOW, jitter=0, wait=wait) == NOW + wait
    assert next_attempt(failures=5, due_since=NOW, now=NOW, jitter=0, wait=wait) == NOW + PAUSES[4]


def test_no_endpoint_delays_a_delivery_beyond_its_day():
    moments = all_attempts(jitter=0, wait=dt.timedelta(days=365))

    assert moments == [NOW, NOW + DAY]


def test_a_delivery_begun_late_is_not_tried_beyond_its_day_either():
    late = NOW + dt.timedelta(hours=20)

    assert next_attempt(failures=7, due_since=NOW, now=late, jitter=0, wait=None) is None


@pytest.mark.parametrize(
    ("status", "text", "seconds"),
    [
        (503, "120", 120),
        (429, " 0 ", 0),
        (503, "Sun, 22 Nov 2026 05:02:00 GMT", 120),
        (503, "Sun, 22 Nov 2026 04:00:00 GMT", None),
        (500, "120", None),
        (503, None, None),
        (503, "-1", None),
        (503, "soon", None),
        (503, "1e3", None),
        (503, "9" * 400, None),
        (503, "Sun, 99 Nov 2026 05:02:00 GMT", None),
        (503, "Sun, 22 Nov 2026 05:02:00", None),
    ],
)
def test_retry_after_is_read_in_seconds_or_as_a_date(status, text, seconds):
    wait = requested_wait(status=status, retry_after=text, now=NOW)

    assert wait == (None if seconds is None else dt.timedelta(seconds=seconds))
