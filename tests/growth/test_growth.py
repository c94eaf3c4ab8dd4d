"""The cost of a call does not grow with its customer's history: 50,000 requests and entries against 1,000.

With 1,000,000: tests/torture/test_growth_of_a_million.py.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ledger.models import TermsChange
from tests.accounts.receivers import LOOPBACK
from tests.growth.cases import Case
from tests.growth.commands import COMMANDS, our_commands
from tests.growth.every import CASES, CASES_OF_PATHS, Worlds, measured
from tests.growth.histories import two_customers
from tests.journeys.access_table import unlimited
from tests.journeys.routes import admin_patterns, routes
from tests.module_data import quick_passwords

ROWS = 50_000


@pytest.fixture(scope="module")
def worlds(django_db_setup, django_db_blocker) -> Iterator[Worlds]:
    with django_db_blocker.unblock(), quick_passwords(), two_customers(rows=ROWS) as both:
        yield both


@pytest.fixture(autouse=True)
def _any_number_of_calls_may_pass(settings):
    unlimited(settings)
    settings.WEBHOOKS_MAY_REACH = [LOOPBACK]


@pytest.mark.parametrize("name", measured())
def test_a_call_reads_at_most_twice_as_much_when_the_history_is_long(worlds, name):
    CASES[name].check(*worlds, rows=ROWS)


def test_every_route_and_command_has_a_case():
    assert {path for path, _ in admin_patterns()} | {str(route) for route in routes()} == CASES_OF_PATHS
    assert our_commands() == sorted(COMMANDS)


def test_a_call_that_reads_all_of_a_history_is_noticed(worlds):
    case = Case(lambda world: list(world.owner.entries.filter(description="none").values_list("pk")))

    with pytest.raises(AssertionError, match="ledger_entry"):
        case.check(*worlds, rows=ROWS)


def test_a_call_that_asks_once_for_each_row_is_noticed(worlds):
    def call(world):
        for change in TermsChange.objects.filter(user=world.owner):
            change.refresh_from_db(fields=["note"])

    with pytest.raises(AssertionError):
        Case(call, most=10**9, why="only its statements are counted").check(*worlds, rows=ROWS)
