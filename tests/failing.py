"""Customers whose rows in a table the database refuses to write."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from psycopg import sql

from accounts.models import User
from tests.conftest import owner_connection

REFUSED, TIMED_OUT, LOCKED = "P0001", "57014", "55P03"  # a bug; statement_timeout; lock_timeout

_FUNCTION = """
    CREATE OR REPLACE FUNCTION broken_for_a_test() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        RAISE EXCEPTION 'broken for a test' USING ERRCODE = {state}; END $$
"""
_TRIGGER = """
    CREATE TRIGGER broken BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN (NEW.user_id = {user})
    EXECUTE FUNCTION broken_for_a_test()
"""
_BREAK = (_FUNCTION, _TRIGGER)
_MEND = ("DROP TRIGGER broken ON {table}", "DROP FUNCTION broken_for_a_test()")


@contextmanager
def failing(user: User, table: str, *, sqlstate: str = REFUSED) -> Iterator[None]:
    """Refuse every insert and update of this customer's rows of the table during the block, with this SQLSTATE."""
    names = {"table": sql.Identifier(table), "state": sql.Literal(sqlstate), "user": sql.Literal(user.pk)}
    with owner_connection(autocommit=True) as owner:
        for statement in _BREAK:
            owner.execute(sql.SQL(statement).format(**names))
        try:
            yield
        finally:
            for statement in _MEND:
                owner.execute(sql.SQL(statement).format(**names))
