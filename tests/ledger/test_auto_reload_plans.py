"""What auto-reload adds to hot reads, and what a round reads where many customers have agreed."""

from __future__ import annotations

import json
from decimal import Decimal

import pytest
from django.db import connection
from django.utils import timezone

from accounts.models import User
from ledger.models import AutoReload
from ledger.selectors import BALANCE_QUERY
from ledger.services.auto_reload.buying import reloads_due
from tests.config.explaining import explained
from tests.ledger.reloading import low

pytestmark = pytest.mark.django_db
CUSTOMERS = 3_000


@pytest.fixture
def many(db):
    """Create thousands of customers who have agreed and are not low."""
    users = User.objects.bulk_create(
        User(email=f"many{number}@example.com", password="!") for number in range(CUSTOMERS)
    )
    made = {"threshold": Decimal(1), "created_at": timezone.now(), "updated_at": timezone.now()}
    AutoReload.objects.bulk_create(AutoReload(user=user, **made) for user in users)
    return users


def nodes(plan):
    yield plan
    for child in plan.get("Plans", ()):
        yield from nodes(child)


def test_the_balance_finds_the_terms_by_their_primary_key(many):
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL plan_cache_mode = force_generic_plan")
        cursor.execute(f"PREPARE probe AS {BALANCE_QUERY.replace('%s', '$1')}")
        cursor.execute(f"EXPLAIN (FORMAT JSON) EXECUTE probe({many[0].pk})")
        (found,) = cursor.fetchone()
        cursor.execute("DEALLOCATE probe")
    (explanation,) = json.loads(found) if isinstance(found, str) else found

    (read,) = (node for node in nodes(explanation["Plan"]) if node.get("Relation Name") == "ledger_autoreload")
    assert read["Node Type"] in ("Index Scan", "Index Only Scan")
    assert read["Index Name"] == "ledger_autoreload_pkey"
    assert read["Plan Rows"] == 1


def test_a_round_reads_only_customers_who_are_low(many):
    user = low(50)

    with explained() as readings:
        due = reloads_due(now=timezone.now())

    assert due == [user.pk]
    assert sum(reading.buffers for reading in readings) < CUSTOMERS / 10
