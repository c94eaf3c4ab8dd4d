"""Checks of the two logins: the application may read all tables, write unguarded ones, call the doors, and no more."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django import db
from django.db import connection

from config.db.owner import as_owner
from config.db.roles import doors, guarded_tables, insert_only_tables
from config.doctor.finding import Finding

# Guarded tables with their partitions: their owner, and what the application may do.
_TABLES = """
    SELECT c.relname, c.relowner::regrole::text AS owner,
        pg_has_role(current_user, c.relowner, 'MEMBER') AS is_owner,
        has_table_privilege(c.oid, 'SELECT') OR i.inhrelid IS NOT NULL AS may_read,
        has_table_privilege(c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER')
            OR has_any_column_privilege(c.oid, 'INSERT, UPDATE, REFERENCES') AS may_write
    FROM pg_class c
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    LEFT JOIN pg_class parent ON parent.oid = i.inhparent
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
        AND coalesce(parent.relname, c.relname) = ANY(%s)
    ORDER BY c.relname
"""
_FUNCTIONS = """
    SELECT p.proname, has_function_privilege(p.oid, 'EXECUTE') AS is_open,
        p.prosecdef AND coalesce(NOT p.proconfig::text LIKE '%%search_path=pg_catalog, public, pg_temp%%', true)
            AS is_unpinned
    FROM pg_proc p
    WHERE p.pronamespace = 'public'::regnamespace
        AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = p.oid AND d.deptype = 'e')
    ORDER BY p.proname
"""
_CHANGEABLE = """
    SELECT c.relname FROM pg_class c
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY(%s)
        AND NOT pg_has_role(current_user, c.relowner, 'MEMBER')
        AND (has_table_privilege(c.oid, 'UPDATE, DELETE, TRUNCATE') OR has_any_column_privilege(c.oid, 'UPDATE'))
    ORDER BY c.relname
"""
_ROLE = """
    SELECT current_user, rolsuper, rolcreaterole, rolbypassrls, rolreplication,
        has_schema_privilege('public', 'CREATE')
    FROM pg_roles WHERE rolname = current_user
"""
_MIGRATE = "run manage.py migrate, which gives each role its rights"


def logins() -> Iterator[Finding]:
    """Check that there are two logins with the right attributes."""
    name, is_superuser, *others, may_create = _rows(_ROLE)[0]
    if is_superuser:
        yield Finding("logins", f"{name}, the application's login, is a superuser: no guard holds it. Use another.")
    elif any(others):
        yield Finding(
            "logins",
            f"{name}, the application's login, may make roles, replicate or skip policies: "
            f"ALTER ROLE {name} NOCREATEROLE NOREPLICATION NOBYPASSRLS.",
        )
    if may_create and not is_superuser:
        yield Finding(
            "logins",
            f"{name} may make objects in the schema public: REVOKE CREATE ON SCHEMA public FROM PUBLIC, {name}.",
        )
    tables = _rows(_TABLES, guarded_tables())
    if any(is_owner for _, _, is_owner, *_ in tables):
        yield Finding(
            "logins",
            f"{name}, the application's login, owns the ledger or may act as its owner: give DATABASE_URL a login of "
            "its own, that is no member of the owner's role.",
        )
    yield from _owner_login({owner for _, owner, *_ in tables})


def tables() -> Iterator[Finding]:
    """Check that guarded tables can be read, and written only through the doors."""
    there = _rows(_TABLES, [*guarded_tables(), "django_migrations"])
    for name in sorted(set(guarded_tables()) - {row[0] for row in there}):
        yield Finding("rights", f"The table {name} is not there: run manage.py migrate.")
    for name, _, is_owner, may_read, may_write in there:
        if may_write and not is_owner:
            yield Finding("rights", f"The application may write {name} past the doors: {_MIGRATE}.")
        if not may_read:
            yield Finding("rights", f"The application may not read {name}: {_MIGRATE}.")
    for (name,) in _rows(_CHANGEABLE, insert_only_tables()):
        yield Finding("rights", f"The application may change rows of {name}, not only add them: {_MIGRATE}.")


def functions() -> Iterator[Finding]:
    """Check that the application may call the doors and no other function."""
    there = {name: (is_open, is_unpinned) for name, is_open, is_unpinned in _rows(_FUNCTIONS)}
    is_owner = any(row[2] for row in _rows(_TABLES, guarded_tables()))
    for name in sorted(set(doors()) - {name for name, (is_open, _) in there.items() if is_open}):
        yield Finding("doors", f"The application may not call {name}: {_MIGRATE}.")
    for name, (is_open, is_unpinned) in there.items():
        if is_open and name not in doors() and not is_owner:
            yield Finding("doors", f"The application may call {name}, which is no door: {_MIGRATE}.")
        if is_unpinned:
            yield Finding(
                "doors",
                f"{name} runs with its owner's rights and an open search path: ALTER FUNCTION {name} "
                "SET search_path = pg_catalog, public, pg_temp.",
            )


def _owner_login(owners: set[str]) -> Iterator[Finding]:
    try:
        with as_owner() as cursor:
            cursor.execute("SELECT current_user")
            (name,) = cursor.fetchone()
    except db.Error as error:
        reason = str(error).strip().splitlines()[0]
        yield Finding("logins", f"DATABASE_OWNER_URL cannot be used ({reason}): migrate and retention need it.")
        return
    if owners - {name}:
        others = ", ".join(sorted(owners - {name}))
        yield Finding("logins", f"{name}, of DATABASE_OWNER_URL, does not own every table: some belong to {others}.")


def _rows(query: str, names: list[str] | None = None) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(query, None if names is None else [names])
        return list(cursor.fetchall())
