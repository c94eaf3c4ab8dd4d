"""Explaining the debit of a batch reads its own requests, however many others its customer has."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.utils import timezone

from ledger.models import Entry
from tests.account import requested
from tests.growth.every import Worlds
from tests.growth.histories import two_customers
from tests.growth.measuring import cost_of
from tests.journeys.access_table import MARK, World
from tests.module_data import quick_passwords
from usage.services.explanations.explanation import explain_entry

ROWS = 20_000
BATCH = 200


@pytest.fixture(scope="module")
def worlds(django_db_setup, django_db_blocker) -> Iterator[Worlds]:
    with django_db_blocker.unblock(), quick_passwords(), two_customers(rows=ROWS) as both:
        yield both


def _batch(world: World) -> Entry:
    requested(world.owner, [(timezone.now(), MARK, 200)] * BATCH)
    return Entry.objects.of(world.owner.pk).newest_first()[0]


def test_a_batch_of_a_long_history_costs_no_more_than_one_of_a_short_history(worlds):
    short, long = map(_batch, worlds)

    small, big = (cost_of(lambda entry=entry: explain_entry(entry, now=timezone.now())) for entry in (short, long))

    assert explain_entry(long, now=timezone.now()).requests.count == BATCH
    assert big.statements == small.statements <= 10
    assert big.buffers <= min(2 * small.buffers, 1_000), (small, big)
