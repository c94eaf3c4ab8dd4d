"""Migrations of releases block no call; those before the first release never ran on data."""

from __future__ import annotations

from typing import Any

import pytest
from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.db import connection, migrations, models
from django.db.migrations.loader import MigrationLoader
from django.db.models import Q

from tests.config.migration_rules import BIG_TABLES, faults_of

# The last migration of each app that never ran on data. It moves on until the first release, and never after it;
# when the history is squashed, it is the squash's last.
BEFORE_THE_FIRST_RELEASE = {
    "accounts": "0001_initial",
    "config": "0001_initial",
    "ledger": "0002_rules",
    "usage": "0002_rules",
}

CHECK = models.CheckConstraint(condition=Q(amount__gt=0), name="amount_is_positive")
INDEX = models.Index(fields=["user"], name="by_user")
UNIQUE = models.UniqueConstraint(fields=["user"], name="once")


def migration(*operations: Any, atomic: bool = True) -> migrations.Migration:
    made = migrations.Migration("0099_made_up", "ledger")
    made.operations, made.atomic = list(operations), atomic
    return made


@pytest.mark.parametrize("app", BEFORE_THE_FIRST_RELEASE)
def test_migrations_after_the_first_release_block_no_call(app):
    loader = MigrationLoader(None)
    last = (app, BEFORE_THE_FIRST_RELEASE[app])
    assert last in loader.graph.nodes, f"{last} is gone: name the last migration of {app} that was never released."
    released_before = {node for node in loader.graph.forwards_plan(last) if node[0] == app}
    to_come = [each for node, each in loader.disk_migrations.items() if node[0] == app and node not in released_before]

    faults = [fault for each in to_come for fault in faults_of(each)]

    assert not faults, (
        "\n".join(faults) + f"\nUntil the first release, move BEFORE_THE_FIRST_RELEASE[{app!r}] on instead."
    )


def test_every_big_table_is_there(db):
    with connection.cursor() as cursor:
        assert set(connection.introspection.table_names(cursor)) >= BIG_TABLES - {"usage_requestlog"}


@pytest.mark.parametrize(
    ("operation", "fault"),
    [
        (migrations.AddIndex("entry", INDEX), "AddIndexConcurrently"),
        (migrations.RemoveIndex("entry", "by_user"), "RemoveIndexConcurrently"),
        (migrations.AddConstraint("entry", CHECK), "AddConstraintNotValid"),
        (migrations.AddConstraint("entry", UNIQUE), "UNIQUE USING INDEX"),
        (migrations.AddField("entry", "note", models.TextField(default="")), "db_default"),
        (
            migrations.AddField("entry", "by", models.ForeignKey("accounts.User", models.PROTECT, null=True)),
            "a key and an index",
        ),
        (migrations.AlterField("entry", "amount", models.FloatField()), "AlterField amount"),
        (migrations.RunSQL("CREATE INDEX by_note ON ledger_entry (note)"), "without CONCURRENTLY"),
        (migrations.RunSQL('create unique index x\n on "ledger_entry" (note)'), "without CONCURRENTLY"),
        (migrations.RunSQL("ALTER TABLE ledger_entry ADD CONSTRAINT c CHECK (amount > 0)"), "NOT VALID"),
        (migrations.RunSQL("ALTER TABLE ledger_entry ALTER COLUMN reference SET NOT NULL"), "NOT VALID"),
        (migrations.RunSQL("ALTER TABLE ONLY ledger_entry ALTER amount TYPE numeric(20, 6)"), "writes all rows anew"),
        (
            migrations.SeparateDatabaseAndState([migrations.AddIndex("entry", INDEX)]),
            "AddIndexConcurrently",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_migrations_that_would_keep_charges_waiting_are_refused(operation, fault):
    (found,) = faults_of(migration(operation))

    assert found.startswith("ledger.0099_made_up: ")
    assert fault in found


@pytest.mark.parametrize(
    "made",
    [
        migration(AddIndexConcurrently("entry", INDEX), atomic=False),
        migration(RemoveIndexConcurrently("entry", "by_user"), atomic=False),
        migration(AddConstraintNotValid("entry", CHECK)),
        migration(ValidateConstraint("entry", "amount_is_positive")),
        migration(AddConstraintNotValid("entry", CHECK), ValidateConstraint("entry", "c"), atomic=False),
        migration(migrations.AddField("entry", "note", models.TextField(null=True))),
        migration(migrations.AddField("entry", "note", models.TextField(db_default=""))),
        migration(migrations.AddIndex("topuppackage", INDEX)),
        migration(
            migrations.CreateModel("Entry", [("id", models.BigAutoField(primary_key=True))]),
            migrations.AddIndex("entry", INDEX),
        ),
        migration(migrations.RunSQL("CREATE INDEX CONCURRENTLY by_note ON ledger_entry (note)"), atomic=False),
        migration(migrations.RunSQL("CREATE INDEX by_note ON ONLY usage_requestlog (note)")),
        migration(migrations.RunSQL("ALTER TABLE ledger_entry ADD CONSTRAINT c CHECK (amount > 0) NOT VALID")),
        migration(migrations.RunSQL("ALTER TABLE ledger_entry ADD CONSTRAINT c UNIQUE USING INDEX by_note")),
        migration(migrations.RunSQL("ALTER TABLE ledger_entry VALIDATE CONSTRAINT c; CREATE INDEX x ON small (y)")),
        migration(
            migrations.RunSQL(
                "CREATE FUNCTION f() RETURNS void LANGUAGE sql AS $$ ALTER TABLE ledger_entry ALTER a SET NOT NULL $$;"
                "-- CREATE INDEX by_note ON ledger_entry (note)"
            )
        ),
    ],
    ids=lambda made: " ".join(type(each).__name__ for each in made.operations),
)
def test_migrations_that_block_no_call_pass(made):
    assert faults_of(made) == []


@pytest.mark.parametrize(
    ("operations", "fault"),
    [
        ([AddIndexConcurrently("entry", INDEX)], "atomic = False"),
        ([AddConstraintNotValid("entry", CHECK), ValidateConstraint("entry", "c")], "a migration of its own"),
    ],
)
def test_steps_that_need_their_own_transactions_are_reported(operations, fault):
    (found,) = faults_of(migration(*operations))

    assert fault in found
