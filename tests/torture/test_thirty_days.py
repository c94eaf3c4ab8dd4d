"""Thirty simulated days with auto-reload of hundreds of customers, drawn anew each time: `make torture`."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.ledger.reload_machine import EVENTS, ThirtyDays


@pytest.mark.django_db
@settings(max_examples=400, database=None, deadline=None, suppress_health_check=list(HealthCheck))
@given(events=st.lists(EVENTS, min_size=60, max_size=150))
def test_hundreds_of_months_stay_within_what_was_agreed_to(events):
    ThirtyDays().live(events)
