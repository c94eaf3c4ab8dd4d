from __future__ import annotations

import threading
import time

import pytest
from django.db import connection, connections, transaction

from config.cli.run_lock import AnotherRunHoldsTheLock, lock_number, run_lock

pytestmark = pytest.mark.django_db(transaction=True)
# pg_locks shows those of every database of the server, the other workers' too.
OF_THIS_DATABASE = "database = (SELECT oid FROM pg_database WHERE datname = current_database())"


def test_only_one_run_holds_a_lock():
    with run_lock("things"), pytest.raises(AnotherRunHoldsTheLock), run_lock("things", wait_seconds=0):
        pass


def test_another_name_is_another_lock():
    with run_lock("things"), run_lock("others", wait_seconds=0):
        assert lock_number("things") != lock_number("others")


def test_the_lock_is_free_after_the_block_even_when_that_fails():
    with pytest.raises(ZeroDivisionError), run_lock("things"):
        raise ZeroDivisionError

    with run_lock("things", wait_seconds=5):
        pass


def test_a_later_run_waits_for_the_holder():
    order: list[str] = []

    def second():
        with run_lock("things", wait_seconds=10):
            order.append("second")
        connections.close_all()

    with run_lock("things"):
        thread = threading.Thread(target=second)
        thread.start()
        time.sleep(0.5)
        order.append("first")
    thread.join()

    assert order == ["first", "second"]


def test_a_holder_whose_connection_is_lost_releases_the_lock():
    with run_lock("things"):
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_locks"
                f" WHERE locktype = 'advisory' AND pid <> pg_backend_pid() AND {OF_THIS_DATABASE}"
            )
        with run_lock("things", wait_seconds=5):
            pass


def test_the_holders_own_work_is_not_inside_the_locks_transaction():
    with run_lock("things"):
        assert not connection.in_atomic_block
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SELECT 1")


def test_timeouts_that_would_end_the_lock_are_off_for_it():
    with run_lock("things"), connection.cursor() as cursor:
        cursor.execute(
            "SELECT state FROM pg_stat_activity a JOIN pg_locks l USING (pid)"
            f" WHERE l.locktype = 'advisory' AND {OF_THIS_DATABASE}"
        )
        assert cursor.fetchall() == [("idle in transaction",)]
