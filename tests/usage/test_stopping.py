"""A server that is stopped under charging load loses no charge that it has acknowledged."""

import signal
import time
from http.client import HTTPConnection

import pytest

from ledger.models import Entry, EntryReason
from ledger.selectors import balance_of
from ledger.services.reconciliation.checks import Scope
from tests.factories import ServiceKeyFactory, customer_with
from tests.server import Server
from tests.usage.loading import Load
from tests.usage.metering import price
from usage.services.reconciliation import reconcile

pytestmark = pytest.mark.django_db(transaction=True)
UNDER_LOAD = 100  # charges that were acknowledged when the server is stopped


def stopped_under_load(stop, **environment):
    """Stop a server under charging load, repeat unanswered charges on another, and return the load."""
    price("search", 1)
    load = None
    with Server(2, LOG_LEVEL="ERROR", **environment) as server:
        load = Load(server, ServiceKeyFactory().raw, customer_with(1_000_000).pk)
        load.start()
        until = time.monotonic() + 30
        while len(load.acknowledged) < UNDER_LOAD and time.monotonic() < until:
            time.sleep(0.02)
        stop(server)
        load.wait()
        code = server.process.wait(timeout=60)
    with Server(1, LOG_LEVEL="ERROR", **environment) as other:
        connection = HTTPConnection("127.0.0.1", other.port, timeout=30)
        repeated = [load.charge(connection, key) for key in load.unanswered]
    return load, repeated, code


def check_that_every_charge_counts_once(load, repeated):
    entries = dict(Entry.objects.filter(reason=EntryReason.USAGE).values_list("idempotency_key", "id"))

    assert len(load.acknowledged) > 50
    assert load.refused == []
    assert [status for status, _ in repeated] == [201] * len(load.unanswered)
    assert {key: entries.get(key) for key in load.acknowledged} == load.acknowledged
    assert set(entries) == set(load.acknowledged) | set(load.unanswered)
    assert balance_of(user_id=load.user_id).balance == 1_000_000 - len(entries)
    assert reconcile(Scope())[1] == []


def test_after_sigterm_every_acknowledged_charge_is_there_and_the_others_may_be_sent_again():
    load, repeated, code = stopped_under_load(lambda server: server.process.send_signal(signal.SIGTERM))

    check_that_every_charge_counts_once(load, repeated)
    assert code == 0


def test_after_a_power_failure_every_acknowledged_charge_is_there_too():
    load, repeated, _ = stopped_under_load(Server.kill)

    check_that_every_charge_counts_once(load, repeated)
