"""Checks of the schema: triggers, constraints and indexes exist, are valid, and apply to every partition."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.apps import apps
from django.db import connection
from django.utils import timezone

from config.doctor.finding import Finding
from config.health import run_checks
from usage.selectors import log_months
from usage.services.retention import months_earlier

_OUR_APPS = ("accounts", "ledger", "usage")
_TRIGGERS = """
    SELECT t.tgname, c.relname, t.tgenabled IN ('O', 'A') FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT t.tgisinternal
"""
_CONSTRAINTS = """
    SELECT conname FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND convalidated
    UNION
    SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND i.indisvalid
"""
_INVALID = """
    SELECT c.relname FROM pg_class c JOIN pg_index i ON i.indexrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND NOT i.indisvalid AND c.relkind = 'i' ORDER BY 1
"""
_PARTITIONS = """
    SELECT c.relname, i.inhdetachpending, EXISTS (
        SELECT FROM pg_trigger t WHERE t.tgrelid = c.oid AND t.tgenabled IN ('O', 'A')
            AND t.tgfoid = to_regprocedure('ledger_refuse_change()'))
    FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
    WHERE i.inhparent = 'usage_requestlog'::regclass ORDER BY 1
"""


def migrations() -> Iterator[Finding]:
    """Check that every migration of this version is applied, and no other."""
    found = run_checks()["migrations"]
    if found != "ok":
        yield Finding("migrations", f"Migrations: {found}. Run manage.py migrate.")


def triggers() -> Iterator[Finding]:
    """Check that append-only tables are guarded by triggers, on every partition too."""
    there = _rows(_TRIGGERS)
    wanted = {name for app in apps.get_app_configs() for name in getattr(app, "guards", ())}
    for name in sorted(wanted - {name for name, _, _ in there}):
        yield Finding("triggers", f"The trigger {name} is gone: restore it from the migration that made it.")
    for name, table, is_enabled in sorted(there):
        if not is_enabled:
            yield Finding("triggers", f"The trigger {name} is off: ALTER TABLE {table} ENABLE TRIGGER {name}.")
    for partition, is_half_detached, is_guarded in _rows(_PARTITIONS):
        if not is_guarded:
            yield Finding(
                "triggers",
                f"The partition {partition} is not guarded: CREATE TRIGGER request_log_is_append_only BEFORE UPDATE "
                f"OR DELETE OR TRUNCATE ON {partition} EXECUTE FUNCTION ledger_refuse_change().",
            )
        if is_half_detached:
            yield Finding(
                "partitions",
                f"{partition} is half detached: ALTER TABLE usage_requestlog DETACH PARTITION {partition} FINALIZE.",
            )


def constraints() -> Iterator[Finding]:
    """Check that every constraint and index that the models declare exists and is valid."""
    there = {name for (name,) in _rows(_CONSTRAINTS)}
    for name in sorted(_declared() - there):
        yield Finding("constraints", f"{name} is missing or not valid: restore it from the migration that made it.")
    for (name,) in _rows(_INVALID):
        yield Finding("indexes", f"The index {name} is invalid and only costs time: REINDEX INDEX CONCURRENTLY {name}.")


def partitions() -> Iterator[Finding]:
    """Check that the request log has a partition for the next month."""
    there = set(log_months())
    this_month = timezone.now().date().replace(day=1)
    next_month = months_earlier(this_month, -1).date()
    missing = [f"{month:%Y-%m}" for month in (this_month, next_month) if month not in there]
    if missing:
        yield Finding(
            "partitions",
            f"The request log has no partition for {' and '.join(missing)}: run manage.py maintain_partitions, "
            "and let it run every month.",
        )


def _declared() -> set[str]:
    """Return the names of constraints and indexes that models declare, and that their apps add in SQL."""
    names = {name for app in apps.get_app_configs() for name in getattr(app, "sql_constraints", ())}
    for label in _OUR_APPS:
        for model in apps.get_app_config(label).get_models():
            names |= {constraint.name for constraint in model._meta.constraints}
            names |= {index.name for index in model._meta.indexes}
    return names


def _rows(query: str) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query)
        return list(cursor.fetchall())
