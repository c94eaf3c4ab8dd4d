"""Thirty simulated days of random events; tests/torture/test_thirty_days.py runs many more of them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.reload_machine import EVENTS, ThirtyDays


@pytest.mark.django_db
@settings(max_examples=4, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=st.lists(EVENTS, min_size=60, max_size=80))
def test_charges_never_exceed_what_was_agreed_to_and_nothing_is_credited_twice(events):
    ThirtyDays().live(events)
