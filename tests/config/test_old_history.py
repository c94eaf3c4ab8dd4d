"""A database from before the squash is refused in one sentence that says how to recreate it."""

import pytest
from django.core.management import CommandError, call_command
from django.db import connections
from django.db.migrations.recorder import MigrationRecorder

from config.management.commands.migrate import refuse_an_old_history

OLD = {("ledger", "0001_balances_entries_and_holds"): None, ("accounts", "0001_people_keys_and_plans"): None}


@pytest.fixture
def applied(monkeypatch):
    """Pretend that the database has recorded these migrations."""

    def record(names):
        monkeypatch.setattr(MigrationRecorder, "applied_migrations", lambda _self: names)

    return record


@pytest.mark.django_db(databases=["default", "owner"])
def test_migrate_refuses_a_database_of_the_old_history_and_says_how_to_make_it_anew(applied):
    applied(OLD)

    with pytest.raises(
        CommandError, match=r"0001_balances_entries_and_holds.*manage\.py postgres reset.*DROP DATABASE"
    ):
        call_command("migrate", verbosity=0)


@pytest.mark.parametrize(
    "names",
    [
        {},
        {("accounts", "0001_initial"): None},
        {("ledger", "0001_initial"): None, ("ledger", "0099_of_a_newer_version"): None},
    ],
)
def test_a_database_that_is_empty_or_new_or_newer_is_not_refused(applied, names):
    applied(names)

    refuse_an_old_history(connections["owner"])
