"""What a migration may do to a table that has rows and is in use: the rule, as a lint.

An index that is built in the ordinary way keeps all writes waiting until it is done, and a check, a foreign key or NOT
NULL is proven for all rows under a lock that keeps even readers waiting. On a ledger of ten million entries that is
minutes in which no charge goes through. PostgreSQL has a way around each (docs/operations.md, Upgrade).
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from django.contrib.postgres.operations import (
    AddConstraintNotValid,
    AddIndexConcurrently,
    RemoveIndexConcurrently,
    ValidateConstraint,
)
from django.db import migrations, models
from django.db.migrations.operations.base import Operation
from django.db.models.fields import NOT_PROVIDED

# Tables that grow with what customers do. Others have some hundred rows, and are only locked briefly.
BIG_TABLES = {
    "accounts_user", "accounts_apikey", "accounts_notice", "accounts_webhookdelivery", "accounts_webhookattempt",
    "ledger_balance", "ledger_entry", "ledger_grant", "ledger_grantdraw", "ledger_grantprogress", "ledger_hold",
    "ledger_operationkey", "ledger_payment", "ledger_anchorplace", "usage_requestlog", "usage_dailyusage",
    "usage_eventkey", "usage_importedline", "usage_refund", "usage_customerfigures",
}  # fmt: skip

_INDEX = re.compile(
    r'\bCREATE\s+(?:UNIQUE\s+)?INDEX\s+(?P<way>CONCURRENTLY\s+)?.*?\bON\s+(?P<only>ONLY\s+)?"?(?P<table>\w+)',
    re.IGNORECASE | re.DOTALL,
)
_ALTER = re.compile(r'\bALTER\s+TABLE\s+(?:ONLY\s+)?"?(?P<table>\w+)"?(?P<what>[^;]*)', re.IGNORECASE | re.DOTALL)
_PROVEN = re.compile(
    r"\bADD\s+(?:CONSTRAINT\s+\w+\s+)?(?:CHECK|FOREIGN\s+KEY|UNIQUE\b(?!\s+USING))|\bSET\s+NOT\s+NULL\b", re.IGNORECASE
)
_REWRITTEN = re.compile(r'\bALTER\s+(?:COLUMN\s+)?"?\w+"?\s+(?:SET\s+DATA\s+)?TYPE\b', re.IGNORECASE)


def faults_of(migration: migrations.Migration) -> list[str]:
    """Return what in a migration would block other calls, and what to do instead."""
    return [f"{migration.app_label}.{migration.name}: {fault}" for fault in _faults(migration)]


def _faults(migration: migrations.Migration) -> Iterator[str]:
    operations = list(_flat(migration.operations))
    made = {_table(migration, each.name) for each in operations if isinstance(each, migrations.CreateModel)}
    big = BIG_TABLES - made  # tables that the migration creates have no rows yet
    for each in operations:
        if isinstance(each, migrations.RunSQL):
            yield from _faults_of_sql(each.sql, big)
        elif _table(migration, getattr(each, "model_name", "")) in big:
            yield from _faults_of_operation(each)
    kinds = {type(each) for each in operations}
    if kinds & {AddIndexConcurrently, RemoveIndexConcurrently} and migration.atomic:
        yield "CONCURRENTLY does not go within a transaction: set atomic = False."
    if {AddConstraintNotValid, ValidateConstraint} <= kinds and migration.atomic:
        yield "the lock of NOT VALID is held until the end of the transaction: validate in a migration of its own."


def _faults_of_operation(operation: Operation) -> Iterator[str]:
    field = getattr(operation, "field", None)
    if type(operation) in {migrations.AddIndex, migrations.RemoveIndex}:
        yield f"{type(operation).__name__} keeps all writes waiting: use {type(operation).__name__}Concurrently."
    elif type(operation) is migrations.AddConstraint:
        if isinstance(operation.constraint, models.CheckConstraint):
            yield "AddConstraint reads all rows under a lock: AddConstraintNotValid, ValidateConstraint in the next."
        else:
            yield "AddConstraint builds an index under a lock: build it CONCURRENTLY, then ADD … UNIQUE USING INDEX."
    elif type(operation) is migrations.AddField and field is not None:
        has_rows_filled = field.db_default is not NOT_PROVIDED
        if not (field.null or has_rows_filled):
            yield f"AddField {operation.name} has to fill all rows: give it a db_default, or let it be null."
        if isinstance(field, models.ForeignKey) and (field.db_constraint or field.db_index):
            yield f"AddField {operation.name} makes a key and an index under a lock: add these afterwards."
    elif type(operation) is migrations.AlterField:
        yield f"AlterField {operation.name} may write all rows anew, or prove them: write it in SQL."


def _faults_of_sql(sql: object, big: set[str]) -> Iterator[str]:
    text = re.sub(r"--[^\n]*|\$(\w*)\$.*?\$\1\$", "", str(sql), flags=re.S)  # neither comments nor bodies of functions
    for found in _INDEX.finditer(text):
        if found["table"].lower() in big and not (found["way"] or found["only"]):
            yield f"an index on {found['table']} is built without CONCURRENTLY."
    for found in _ALTER.finditer(text):
        if found["table"].lower() not in big:
            continue
        if _PROVEN.search(found["what"]) and not re.search(r"\bNOT\s+VALID\b", found["what"], re.I):
            yield f"a constraint of {found['table']} is proven at once: add it NOT VALID, and validate it in the next."
        if _REWRITTEN.search(found["what"]):
            yield f"a column of {found['table']} changes its type: that writes all rows anew."


def _flat(operations: list[Operation]) -> Iterator[Operation]:
    for each in operations:
        if isinstance(each, migrations.SeparateDatabaseAndState):
            yield from _flat(each.database_operations)
        else:
            yield each


def _table(migration: migrations.Migration, model: str) -> str:
    return f"{migration.app_label}_{model.lower()}"
