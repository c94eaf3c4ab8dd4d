"""Prepared statements are prepared again when the server loses them."""

from decimal import Decimal

import pytest
from django.db import DataError, OperationalError, connection, transaction
from psycopg.types.json import Jsonb

from config.db.prepared import read_prepared, run_prepared
from tests.conftest import owner_connection

pytestmark = pytest.mark.django_db(transaction=True)


def test_values_and_rows_keep_their_types():
    asked = ["word", 2**40, Decimal("12.500000"), None, b"\x00\xff"]

    answer = run_prepared(
        "SELECT %s::text AS a, %s::bigint AS b, %s::numeric AS c, %s::text AS d, %s::bytea AS e", asked
    )

    assert answer.columns == ("a", "b", "c", "d", "e")
    assert answer.rows == [tuple(asked)]


def test_inside_a_transaction_a_statement_belongs_to_it():
    with transaction.atomic():
        (first,) = read_prepared("SELECT txid_current()", [])
        (second,) = read_prepared("SELECT txid_current()", [])

    assert first == second


def test_a_statement_is_prepared_again_when_the_server_has_lost_it():
    read_prepared("SELECT %s::int + 1", [1])
    with connection.cursor() as cursor:
        cursor.execute("DEALLOCATE ALL")

    assert read_prepared("SELECT %s::int + 1", [1]) == [(2,)]


def test_a_table_that_was_changed_meanwhile_is_read_as_it_is_now():
    with owner_connection(autocommit=True) as owner:
        owner.execute("CREATE TABLE changing AS SELECT 1 AS one")
        owner.execute("GRANT SELECT ON changing TO PUBLIC")
        try:
            before = read_prepared("SELECT * FROM changing", [])
            owner.execute("ALTER TABLE changing ADD COLUMN two int DEFAULT 2")

            assert before == [(1,)]
            assert read_prepared("SELECT * FROM changing", []) == [(1, 2)]
        finally:
            owner.execute("DROP TABLE changing")


def test_a_read_survives_a_lost_connection_and_a_write_raises_it():
    with pytest.raises(OperationalError):
        run_prepared("SELECT pg_terminate_backend(pg_backend_pid())", [])

    with pytest.raises(OperationalError):
        run_prepared("SELECT 1", [])
    connection.close()

    assert read_prepared("SELECT 1", []) == [(1,)]


def test_an_error_of_the_server_is_djangos_with_its_state():
    with pytest.raises(DataError) as refused:
        run_prepared("SELECT 1 / %s::int", [0])

    assert refused.value.__cause__.sqlstate == "22012"


def test_documents_reach_the_database_with_their_decimals_exact():
    document = Jsonb({"a": Decimal("0.12345678901234567890123"), "größe": [None, 10**30]})

    ((stored,),) = read_prepared("SELECT %s::jsonb::text", [document])

    assert stored == '{"a": 0.12345678901234567890123, "größe": [null, 1000000000000000000000000000000]}'
