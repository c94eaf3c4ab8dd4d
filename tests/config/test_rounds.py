"""A round over customers goes on after a turn that fails, and ends only when the database is away."""

from __future__ import annotations

import logging

import pytest
from django.db import IntegrityError, OperationalError, connection, transaction

from accounts.models import User
from config.rounds import MOST_LOST, Round
from tests.factories import UserFactory

pytestmark = pytest.mark.django_db


def run(round_: Round, turns: dict[int, BaseException | None]) -> list[int]:
    """Give each customer a turn that raises the given error, if any; return those that were served."""
    served = []
    for name, problem in turns.items():
        with round_.turn(name):
            if problem is not None:
                raise problem
            served.append(name)
    return served


def test_a_round_serves_the_others_when_a_turn_fails():
    said: list[str] = []
    round_ = Round(say=said.append)

    served = run(round_, {1: None, 2: IntegrityError("no such row\nDETAIL: …"), 3: KeyError("x"), 4: None})

    assert served == [1, 4]
    assert said == ["Customer 2: The database refused: no such row", "Customer 3: Unexpected KeyError: 'x'"]
    assert list(round_.failed) == [2, 3]
    assert round_.failure == "2 customers could not be served: 2, 3."


def test_a_round_has_no_failure_when_all_were_served():
    round_ = Round()

    assert run(round_, {1: None}) == [1]
    assert (round_.failed, round_.failure) == ({}, None)


def test_a_round_names_the_first_twenty_when_more_fail():
    round_ = Round("payment", say=lambda _: None)

    run(round_, {number: ValueError() for number in range(25)})

    assert round_.failure is not None
    assert round_.failure.startswith("25 payments could not be served: 0, 1, ")
    assert round_.failure.endswith(", 19 and 5 more.")


def test_a_bug_is_logged_with_its_traceback(caplog):
    with caplog.at_level(logging.ERROR, "tollbook.rounds"):
        run(Round(say=lambda _: None), {7: KeyError("x"), 8: IntegrityError("refused")})

    (record,) = caplog.records
    assert "Customer 7" in record.message
    assert record.exc_info is not None


def test_a_turn_is_rolled_back_alone_inside_of_a_transaction():
    alice, bob = UserFactory(), UserFactory()
    round_ = Round(say=lambda _: None, in_transaction=True)

    with transaction.atomic():
        for user in (alice, bob):
            with round_.turn(user.pk):
                User.objects.filter(pk=user.pk).update(full_name="Renamed")
                if user == alice:
                    User.objects.create_user(bob.email)  # refused by the database

    assert list(User.objects.filter(full_name="Renamed")) == [bob]
    assert list(round_.failed) == [alice.pk]


@pytest.mark.django_db(transaction=True)
def test_a_round_goes_on_with_a_new_connection_when_one_is_lost():
    said: list[str] = []
    round_ = Round(say=said.append)
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_backend_pid()")
        (pid,) = cursor.fetchone()

    for name in (1, 2):
        with round_.turn(name), connection.cursor() as cursor:
            if name == 1:
                cursor.execute("SELECT pg_terminate_backend(pg_backend_pid())")
            cursor.execute("SELECT pg_backend_pid()")
            assert cursor.fetchone() != (pid,)

    assert list(round_.failed) == [1]
    assert said[0].startswith("Customer 1: The database cannot be used: ")


@pytest.mark.django_db(transaction=True)
def test_a_round_ends_when_the_database_is_away():
    round_ = Round(say=lambda _: None)
    lost = OperationalError("server closed the connection unexpectedly")

    with pytest.raises(OperationalError):
        run(round_, {number: None if number == 2 else lost for number in range(20)})

    assert list(round_.failed) == [0, 1, *range(3, 2 + MOST_LOST)]


def test_a_killed_run_does_not_go_on():
    with pytest.raises(KeyboardInterrupt):
        run(Round(say=lambda _: None), {1: KeyboardInterrupt()})
