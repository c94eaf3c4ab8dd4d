"""Runs of reconciliation that staff ask for, carried out by a job."""

from __future__ import annotations

import functools
import importlib

import pytest

from config.cli.run_lock import run_lock
from tests.accounts.races import at_once
from tests.factories import StaffFactory, customer_with
from tests.ledger.running import run
from tests.ledger.tampering import tamper
from usage.errors import RunUnderWay
from usage.models import ReconciliationFinding, ReconciliationRun, RequestedRun
from usage.models.requested_run import MOST_ATTEMPTS
from usage.services.reconciliation import ALL_CHECKS
from usage.services.runs import requests
from usage.services.runs.requests import request_run

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def asked():
    return request_run(actor_id=StaffFactory().pk, idempotency_key="k").request


def test_without_a_request_nothing_is_done():
    ran = run("reconcile_on_request", "--json")

    assert (ran.code, ran.json) == (0, {"carried_out": False, "findings": 0})
    assert not ReconciliationRun.objects.exists()


def test_a_request_is_carried_out_once(asked):
    first, second = run("reconcile_on_request", "--json"), run("reconcile_on_request", "--json")

    asked.refresh_from_db()
    assert (first.json["carried_out"], second.json["carried_out"]) == (True, False)
    assert asked.run == ReconciliationRun.objects.get()
    assert asked.run.is_full
    assert (asked.checks_done, asked.checks_total, asked.attempts) == (len(ALL_CHECKS), len(ALL_CHECKS), 1)
    assert asked.finished_at >= asked.started_at >= asked.created_at


def test_what_it_finds_is_kept_and_is_exit_3(asked):
    alice = customer_with(5)
    tamper(f"UPDATE ledger_balance SET balance = balance + 1 WHERE user_id = {alice.pk}")

    ran = run("reconcile_on_request", "--json")

    assert (ran.code, ran.json["findings"]) == (3, 1)
    assert ReconciliationFinding.objects.get().last_run == ReconciliationRun.objects.get()


def test_findings_of_the_command_are_kept_as_well_and_its_output_is_as_it_was():
    alice = customer_with(5)
    tamper(f"UPDATE ledger_balance SET balance = balance + 1 WHERE user_id = {alice.pk}")

    ran = run("reconcile", "--json")

    finding = ReconciliationFinding.objects.get()
    assert (ran.code, list(ran.json)) == (3, ["checked", "findings"])
    assert (finding.user, finding.detail) == (alice, ran.json["findings"][0]["detail"])
    assert finding.facts["balance"] == 6.0


def test_a_run_that_fails_says_why_and_lets_another_be_asked_for(asked, monkeypatch):
    def fails(*_args, **_named):
        raise OSError("No space left on device")

    monkeypatch.setattr(requests, "reconcile", fails)

    ran = run("reconcile_on_request")

    asked.refresh_from_db()
    assert (ran.code, asked.failure, asked.run) == (1, "No space left on device", None)
    assert not request_run(actor_id=asked.actor_id, idempotency_key="k2").is_replay


def test_a_run_whose_job_was_killed_is_begun_again_and_given_up_in_the_end(asked):
    RequestedRun.objects.update(attempts=MOST_ATTEMPTS - 1, started_at=asked.created_at, checks_done=7)

    run("reconcile_on_request")
    RequestedRun.objects.create(actor_id=asked.actor_id, idempotency_key="k2", attempts=MOST_ATTEMPTS)
    run("reconcile_on_request")

    first, second = RequestedRun.objects.order_by("id")
    assert (first.attempts, first.run_id is not None) == (MOST_ATTEMPTS, True)
    assert (second.run, "was killed 3 times" in second.failure) == (None, True)


def test_one_run_at_a_time_is_asked_for(asked):
    with pytest.raises(RunUnderWay):
        request_run(actor_id=StaffFactory().pk, idempotency_key="other")

    assert request_run(actor_id=asked.actor_id, idempotency_key="k") == (asked, True)


def test_of_sixteen_who_ask_at_once_one_starts_a_run():
    staff = StaffFactory()
    keys = iter(range(16))

    outcomes = at_once(16, lambda: request_run(actor_id=staff.pk, idempotency_key=f"k{next(keys)}"))

    assert sum(not isinstance(each, Exception) for each in outcomes) == 1
    assert {type(each) for each in outcomes if isinstance(each, Exception)} == {RunUnderWay}
    assert RequestedRun.objects.count() == 1


def test_one_key_from_sixteen_windows_starts_one_run():
    staff = StaffFactory()

    outcomes = at_once(16, lambda: request_run(actor_id=staff.pk, idempotency_key="k"))

    assert sorted(each.is_replay for each in outcomes) == [False] + [True] * 15


@pytest.mark.parametrize("command", ["reconcile_on_request", "fold_figures"])
def test_two_do_not_run_at_once(asked, monkeypatch, command):
    module = importlib.import_module(f"usage.management.commands.{command}")
    monkeypatch.setattr(module, "run_lock", functools.partial(run_lock, wait_seconds=0.1))

    with run_lock(command):
        assert run(command).code == 4
    assert run(command).code == 0
