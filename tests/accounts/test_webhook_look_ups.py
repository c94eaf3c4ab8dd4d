"""Hosts of webhooks are looked up within a deadline, even if name servers do not respond."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator

import pytest
from django.utils import timezone

from accounts.providers import look_ups
from accounts.providers.addresses import AddressRefused, checked_addresses, resolve
from accounts.providers.look_ups import MOST_AT_ONCE, look_up
from accounts.providers.webhook_post import post
from accounts.services.webhooks import rounds
from tests.accounts.receivers import LOOPBACK, receiving
from tests.accounts.webhooks import delivery_of, endpoint_of, tell
from tests.factories import UserFactory
from tests.ledger.running import run


class NameServer:
    """A resolver that does not respond for hosts below `silent.example` until it is told to."""

    def __init__(self) -> None:
        self.answers = threading.Event()
        self.asked: list[str] = []
        self._usual = socket.getaddrinfo

    def getaddrinfo(self, host, port, *args, **kwargs):
        if str(host).endswith("silent.example"):
            self.asked.append(host)
            assert self.answers.wait(30)
            host = "127.0.0.1"
        return self._usual(host, port, *args, **kwargs)


@pytest.fixture
def name_server(monkeypatch, settings) -> Iterator[NameServer]:
    settings.WEBHOOKS_MAY_REACH = [LOOPBACK]
    server = NameServer()
    monkeypatch.setattr(socket, "getaddrinfo", server.getaddrinfo)
    yield server
    server.answers.set()
    while look_ups._under_way:
        time.sleep(0.001)


def threads() -> int:
    return sum(thread.name == "look-up" for thread in threading.enumerate())


def sent(url: str, within_seconds: float):
    return post(url, body=b"{}", headers={}, within_seconds=within_seconds)


def test_an_attempt_ends_in_time_when_its_name_server_is_silent(name_server):
    began = time.monotonic()

    answer = sent("http://a.silent.example:9999/", within_seconds=0.1)

    assert time.monotonic() - began < 2
    assert (answer.status, answer.error) == (None, "The host could not be looked up in time.")


def test_a_host_that_is_being_looked_up_takes_one_thread_however_often_it_is_asked_for(name_server):
    for _ in range(20):
        sent("http://a.silent.example:9999/", within_seconds=0.001)

    assert (name_server.asked, threads()) == (["a.silent.example"], 1)


def test_silent_hosts_take_a_bounded_number_of_threads_and_the_next_is_refused_at_once(name_server):
    for number in range(MOST_AT_ONCE + 10):
        sent(f"http://{number}.silent.example:9999/", within_seconds=0.001)
    began = time.monotonic()
    with pytest.raises(AddressRefused, match="in time"):
        checked_addresses("another.silent.example", 9999, resolver=resolve)
    waited = time.monotonic() - began
    meanwhile = threads()
    name_server.answers.set()
    while threads():
        time.sleep(0.001)

    assert (len(name_server.asked), meanwhile) == (MOST_AT_ONCE, MOST_AT_ONCE)
    assert waited < 1
    assert [str(address) for address in resolve("another.silent.example", 9999)] == ["127.0.0.1"]


def test_an_error_of_the_resolver_is_raised_to_every_waiting_caller(name_server):
    with pytest.raises(OSError, match="Name or service"):
        look_up("nobody.invalid", 80, within_seconds=20)
    with pytest.raises(UnicodeError):
        look_up("a" * 70 + ".example", 80, within_seconds=20)

    assert look_ups._under_way == {}


@pytest.mark.django_db
def test_a_round_delivers_to_others_and_ends_when_a_name_server_is_silent(name_server, monkeypatch):
    def post_soon(url, **asked):
        return post(url, **asked, within_seconds=0.2 if "silent" in url else 5)

    monkeypatch.setattr(rounds, "post", post_soon)
    alice, bob = UserFactory(), UserFactory()
    silent = endpoint_of(alice, "http://a.silent.example:9999/hooks")
    with receiving() as receiver:
        endpoint_of(bob, receiver.url())
        for user in (alice, bob):
            tell(user, now=timezone.now())
        began = time.monotonic()

        ran = run("deliver_webhooks", "--seconds", "1", "--json")

    assert time.monotonic() - began < 5
    assert (ran.code, ran.json["delivered"], ran.json["retried"]) == (0, 1, 1)
    assert delivery_of(silent).last_error == "The host could not be looked up in time."
    assert len(receiver.got) == 1
