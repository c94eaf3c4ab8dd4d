"""Calls of SQL functions are retried if that can help, and only then."""

import itertools
import threading
from contextlib import suppress

import psycopg
import pytest
from django.db import DatabaseError, IntegrityError, InternalError, OperationalError, connection, transaction
from django.db.transaction import TransactionManagementError
from psycopg import pq

from config.db import calls, libpq
from config.db.calls import call, call_rows
from config.db.prepared import read_prepared, sqlstate
from tests.accounts.races import at_once
from tests.conftest import owner_connection

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def stumbling():
    """Create functions that fail with an SQLSTATE a number of times and then succeed; return their name.

    A sequence counts the tries, since it is not taken back with the transaction.
    """
    numbers = itertools.count()
    with owner_connection(autocommit=True) as owner:
        made = []

        def make(state, failures):
            name = f"stumble_{next(numbers)}"
            made.append(name)
            owner.execute(f"CREATE SEQUENCE {name}_tries")
            owner.execute(
                f"CREATE FUNCTION {name}(p_word text) RETURNS TABLE (word text, tries bigint) LANGUAGE plpgsql"
                f" SECURITY DEFINER AS $$ DECLARE v_try bigint := nextval('public.{name}_tries'); BEGIN"
                f" IF v_try <= {failures} THEN RAISE 'stumbled' USING ERRCODE = '{state}'; END IF;"
                " RETURN QUERY SELECT p_word, v_try; END $$"
            )
            return name

        make.tries = lambda name: owner.execute(f"SELECT last_value FROM {name}_tries").fetchone()[0]
        yield make
        for name in made:
            owner.execute(f"DROP FUNCTION {name}")
            owner.execute(f"DROP SEQUENCE {name}_tries")


def test_a_call_returns_its_row_by_the_names_of_its_columns(stumbling):
    answer = call(stumbling("40001", 0), p_word="yes")

    assert (answer.word, answer.tries) == ("yes", 1)


def test_a_call_of_several_rows_returns_them_in_order_and_is_retried_like_any_other():
    with owner_connection(autocommit=True) as owner:
        owner.execute("CREATE SEQUENCE counted")
        owner.execute(
            "CREATE FUNCTION count_to(p_last integer) RETURNS TABLE (n integer) LANGUAGE plpgsql SECURITY DEFINER AS $$"
            " BEGIN IF nextval('public.counted') < 3 THEN RAISE 'stumbled' USING ERRCODE = '40001'; END IF;"
            " RETURN QUERY SELECT * FROM generate_series(1, p_last); END $$"
        )
        try:
            assert [row.n for row in call_rows("count_to", p_last=3)] == [1, 2, 3]
            assert call_rows("count_to", p_last=0) == []
        finally:
            owner.execute("DROP FUNCTION count_to")
            owner.execute("DROP SEQUENCE counted")


@pytest.mark.parametrize("failures", [1, 2, 3])
@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_a_lost_race_or_a_deadlock_is_tried_again_three_times(stumbling, state, failures):
    assert call(stumbling(state, failures), p_word="yes").tries == failures + 1


@pytest.mark.parametrize("state", ["40001", "40P01"])
def test_after_the_third_repetition_the_error_is_raised(stumbling, state):
    name = stumbling(state, 4)

    with pytest.raises(OperationalError) as raised:
        call(name, p_word="yes")

    assert sqlstate(raised.value) == state
    assert stumbling.tries(name) == 4


@pytest.mark.parametrize(
    ("state", "kind"),
    [("23505", IntegrityError), ("57014", OperationalError), ("55P03", OperationalError), ("53100", OperationalError)],
    ids=["constraint", "cancelled", "lock timeout", "disk full"],
)
def test_a_permanent_error_is_raised_at_once(stumbling, state, kind):
    name = stumbling(state, 1)

    with pytest.raises(kind) as raised:
        call(name, p_word="yes")

    assert sqlstate(raised.value) == state
    assert stumbling.tries(name) == 1


def test_inside_a_transaction_a_lost_race_is_tried_again_behind_a_savepoint(stumbling):
    with transaction.atomic():
        kept = call(stumbling("40001", 0), p_word="before")
        answer = call(stumbling("40001", 2), p_word="yes")
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")  # the transaction is whole

    assert (kept.word, answer.tries) == ("before", 3)


def test_a_broken_transaction_is_not_mended_by_repetition(stumbling):
    name = stumbling("40001", 0)

    def call_in_a_broken_transaction():
        with suppress(psycopg.Error), connection.cursor() as cursor:
            cursor.cursor.execute("SELECT 1 / 0")  # not through Django: only the server has ended the transaction
        call(name, p_word="yes")

    with pytest.raises(InternalError), transaction.atomic():
        call_in_a_broken_transaction()

    assert call(name, p_word="yes").tries == 1


def test_a_transaction_that_is_to_be_rolled_back_takes_no_more_calls(stumbling):
    name = stumbling("40001", 0)

    with transaction.atomic():
        transaction.set_rollback(True)
        with pytest.raises(TransactionManagementError):
            call(name, p_word="yes")

    assert call(name, p_word="yes").tries == 1


def backend_pid():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        return cursor.fetchone()[0]


def terminate(pid):
    """End a session as a restart of the server would; the role that opened it may."""
    parameters = connection.get_connection_params()
    keep = {name: parameters[name] for name in ("host", "port", "dbname", "user", "password") if parameters.get(name)}
    with psycopg.connect(**keep, autocommit=True) as other:
        other.execute("SELECT pg_terminate_backend(%s, 5000)", [pid])


def test_a_connection_that_was_lost_is_opened_again(stumbling):
    name = stumbling("40001", 0)
    lost = backend_pid()
    terminate(lost)

    answer = call(name, p_word="yes")

    assert answer.tries == 1
    assert backend_pid() != lost


def test_a_connection_that_is_lost_during_the_call_is_opened_again():
    lost = backend_pid()
    with owner_connection(autocommit=True) as owner:
        owner.execute("CREATE SEQUENCE naps")
        owner.execute(
            "CREATE FUNCTION nap() RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER AS $$ BEGIN"
            " IF nextval('public.naps') = 1 THEN PERFORM pg_sleep(20); END IF; RETURN lastval(); END $$"
        )
        try:
            ending = threading.Timer(0.3, terminate, [lost])
            ending.start()

            answer = call("nap")

            ending.join()
            assert answer == (2,)
        finally:
            owner.execute("DROP FUNCTION nap")
            owner.execute("DROP SEQUENCE naps")


def test_a_connection_that_is_lost_in_a_transaction_is_not_replaced(stumbling):
    name = stumbling("40001", 0)

    def call_on_a_lost_connection():
        terminate(backend_pid())
        call(name, p_word="yes")

    with pytest.raises(OperationalError), transaction.atomic():
        call_on_a_lost_connection()

    assert call(name, p_word="yes").tries == 1


def test_two_deadlocked_calls_both_succeed():
    with owner_connection(autocommit=True) as owner:
        owner.execute("CREATE TABLE rendezvous (place integer PRIMARY KEY, visits integer NOT NULL)")
        owner.execute("INSERT INTO rendezvous VALUES (1, 0), (2, 0)")
        owner.execute(
            "CREATE FUNCTION visit(p_first integer, p_second integer) RETURNS void LANGUAGE plpgsql SECURITY DEFINER"
            " AS $$ BEGIN UPDATE public.rendezvous SET visits = visits + 1 WHERE place = p_first;"
            " PERFORM pg_sleep(0.2);"
            " UPDATE public.rendezvous SET visits = visits + 1 WHERE place = p_second; END $$"
        )
        orders = iter([(1, 2), (2, 1)])

        def visit():
            first, second = next(orders)
            return call("visit", p_first=first, p_second=second)

        try:
            outcomes = at_once(2, visit)

            assert [isinstance(outcome, Exception) for outcome in outcomes] == [False, False]
            assert owner.execute("SELECT visits FROM rendezvous").fetchall() == [(2,), (2,)]
        finally:
            owner.execute("DROP FUNCTION visit")
            owner.execute("DROP TABLE rendezvous")


def test_the_pauses_between_tries_grow_and_differ(stumbling, monkeypatch):
    pauses = []
    monkeypatch.setattr(calls.time, "sleep", pauses.append)
    monkeypatch.setattr(calls.random, "uniform", lambda least, most: (least + most) / 2)

    with pytest.raises(OperationalError):
        call(stumbling("40001", 9), p_word="yes")

    assert len(pauses) == 3
    assert pauses == sorted(set(pauses))
    assert sum(pauses) < 1


SERVER_HAS_GONE = "server closed the connection unexpectedly"


def test_a_result_without_sqlstate_is_a_lost_connection_though_the_connection_does_not_say_so_yet(stumbling):
    with owner_connection() as server:
        result = server.pgconn.make_empty_result(pq.ExecStatus.FATAL_ERROR)

        error = libpq._error(server, result)

        assert server.pgconn.status == pq.ConnStatus.OK
    assert isinstance(error, psycopg.OperationalError)


def failing_once(monkeypatch, error):
    """Make the next statement of the fast path fail with this error; the connection stays usable."""
    run, failures = libpq.execute, [error]

    def execute(*asked):
        if failures:
            raise failures.pop()
        return run(*asked)

    monkeypatch.setattr(libpq, "execute", execute)


@pytest.mark.parametrize(
    "error",
    [
        psycopg.DatabaseError(SERVER_HAS_GONE),
        psycopg.OperationalError(SERVER_HAS_GONE),
        psycopg.InterfaceError("the connection is closed"),
        psycopg.errors.AdminShutdown(),
        psycopg.errors.CrashShutdown(),
        psycopg.errors.CannotConnectNow(),
        psycopg.errors.ConnectionFailure(),
        psycopg.errors.ProtocolViolation(),
        psycopg.errors.ReadOnlySqlTransaction(),
        psycopg.errors.IdleInTransactionSessionTimeout(),
    ],
    ids=lambda error: f"{type(error).__name__} {error.sqlstate}",
)
def test_every_error_of_a_lost_server_is_retried_on_a_new_connection(stumbling, monkeypatch, error):
    name, lost = stumbling("40001", 0), backend_pid()
    failing_once(monkeypatch, error)

    assert call(name, p_word="yes").tries == 1
    assert backend_pid() != lost
    failing_once(monkeypatch, error)
    assert read_prepared("SELECT %s::integer", [7]) == [(7,)]


@pytest.mark.parametrize(
    "error", [psycopg.ProgrammingError("2 parameters were expected"), psycopg.DataError("out of range")]
)
def test_a_bug_without_sqlstate_is_raised(stumbling, monkeypatch, error):
    name = stumbling("40001", 0)
    failing_once(monkeypatch, error)

    with pytest.raises(DatabaseError, match=str(error)):
        call(name, p_word="yes")
