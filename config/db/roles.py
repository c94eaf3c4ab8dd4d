"""Rights of the application's role: read everything, write unguarded tables, call the entry functions (doors)."""

from __future__ import annotations

from django.apps import apps
from django.db import transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from psycopg import sql

_GUARDED = """
    SELECT c.relname FROM pg_class c
    LEFT JOIN pg_inherits i ON i.inhrelid = c.oid
    LEFT JOIN pg_class parent ON parent.oid = i.inhparent
    WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p')
        AND coalesce(parent.relname, c.relname) = ANY(%s)
"""
_DOORS = """
    SELECT oid::regprocedure::text FROM pg_proc
    WHERE pronamespace = 'public'::regnamespace AND proname = ANY(%s)
"""


def guarded_tables() -> list[str]:
    """Return the tables that only SQL functions may write, as each app lists them in its AppConfig."""
    return [table for app in apps.get_app_configs() for table in getattr(app, "guarded_tables", ())]


def insert_only_tables() -> list[str]:
    """Return the tables whose rows the application may insert but not change."""
    return [table for app in apps.get_app_configs() for table in getattr(app, "insert_only_tables", ())]


def doors() -> list[str]:
    """Return the SQL functions that the application may call, as each app lists them in its AppConfig."""
    return [door for app in apps.get_app_configs() for door in getattr(app, "doors", ())]


def grant_application_rights(owner: BaseDatabaseWrapper, role: str) -> None:
    """Grant the application's role its rights on everything that migrations created; revoke all others.

    Repetition changes nothing. Where one login is both owner and application there is nothing to grant; the
    triggers still apply, and a system check warns.
    """
    name = sql.Identifier(role)
    # In one transaction: rights granted on all tables are revoked from the guarded ones before they take effect.
    with transaction.atomic(using=owner.alias), owner.cursor() as cursor:
        cursor.execute("SELECT current_user")
        if cursor.fetchone() == (role,):
            return
        for statement in (
            "GRANT USAGE ON SCHEMA public TO {}",
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {}",
            "GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {}",
            "REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA public FROM PUBLIC, {}",
        ):
            cursor.execute(sql.SQL(statement).format(name))

        cursor.execute(_GUARDED, [[*guarded_tables(), "django_migrations"]])
        for (table,) in cursor.fetchall():
            writing = sql.SQL("REVOKE INSERT, UPDATE, DELETE, TRUNCATE, REFERENCES, TRIGGER ON {} FROM {}")
            cursor.execute(writing.format(sql.Identifier("public", table), name))

        cursor.execute(_GUARDED, [insert_only_tables()])  # those that exist so far
        for (table,) in cursor.fetchall():
            cursor.execute(
                sql.SQL("REVOKE UPDATE, DELETE, TRUNCATE ON {} FROM {}").format(sql.Identifier("public", table), name)
            )

        cursor.execute(_DOORS, [doors()])
        for (signature,) in cursor.fetchall():
            cursor.execute(sql.SQL("GRANT EXECUTE ON FUNCTION {} TO {}").format(sql.SQL(signature), name))
