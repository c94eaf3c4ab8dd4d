"""The outcome of a status is defined in Python and in SQL, and both agree."""

from __future__ import annotations

import pytest
from django.db import connection

from usage.models.outcomes import HAS_FAILED, IS_REJECTED, Outcome, is_rejected, outcome_of

STATUSES = range(100, 600)


@pytest.mark.django_db
def test_sql_and_python_agree_on_every_status():
    with connection.cursor() as cursor:
        cursor.execute(
            f"SELECT status, usage_is_rejected(status), {IS_REJECTED}, {HAS_FAILED}"
            " FROM generate_series(100, 599) AS status ORDER BY status"
        )
        found = cursor.fetchall()

    assert found == [
        (status, is_rejected(status), is_rejected(status), outcome_of(status) is Outcome.FAILED) for status in STATUSES
    ]


def test_401_402_and_429_are_rejected_and_other_errors_have_failed():
    rejected = [status for status in STATUSES if outcome_of(status) is Outcome.REJECTED]

    assert rejected == [401, 402, 429]
    assert {outcome_of(status) for status in STATUSES if status < 400} == {Outcome.SUCCESSFUL}


@pytest.mark.django_db
def test_the_planner_inlines_the_function():
    with connection.cursor() as cursor:
        cursor.execute("EXPLAIN (VERBOSE, COSTS OFF) SELECT usage_is_rejected(status) FROM usage_requestlog")
        plan = "\n".join(line for (line,) in cursor.fetchall())

    assert "usage_is_rejected" not in plan
    assert "'{401,402,429}'::integer[]" in plan
