"""The parts of the server, tested separately: environs, lanes, deadlines, connections, streams."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import pytest
from django.conf import settings

from config.server import door, streams
from config.server.calls import Front
from config.server.connections import bound_unread_answers, break_off
from config.server.deadlines import Deadlines
from config.server.environ import environ_of
from config.server.streams import Stream
from config.server.threads import Lane, Threads


def scope(**changes):
    usual = {
        "method": "GET", "scheme": "http", "http_version": "1.1", "raw_path": b"/", "query_string": b"",
        "headers": [], "client": ("198.51.100.1", 4711), "server": ("127.0.0.1", 8000),
    }  # fmt: skip
    return usual | changes


class TestAnEnviron:
    def test_has_what_wsgi_requires(self):
        environ = environ_of(
            scope(
                raw_path=b"/a%20%C3%A9%ff", query_string=b"x=%41", headers=[(b"content-type", b"a/b"), (b"host", b"h")]
            )
        )

        assert environ["PATH_INFO"].encode("latin-1") == "/a é".encode() + b"\xff"
        assert (environ["QUERY_STRING"], environ["SERVER_PROTOCOL"]) == ("x=%41", "HTTP/1.1")
        assert (environ["REMOTE_ADDR"], environ["SERVER_PORT"]) == ("198.51.100.1", "8000")
        assert (environ["CONTENT_TYPE"], environ["HTTP_HOST"]) == ("a/b", "h")

    @pytest.mark.parametrize(
        "name",
        [b"x_api_key", b"idempotency_key", b"x_forwarded_for", b"content_length", b"a-b_c", b"_"],
    )
    def test_has_no_header_with_an_underscore(self, name):
        assert environ_of(scope(headers=[(name, b"x")])).keys() == environ_of(scope()).keys()

    def test_keeps_every_hop_and_every_cookie_of_repeated_headers(self):
        repeated = [(b"x-forwarded-for", b"1.1.1.1"), (b"cookie", b"a=1"), (b"x-forwarded-for", b"2.2.2.2")]

        environ = environ_of(scope(headers=[*repeated, (b"cookie", b"b=2")]))

        assert (environ["HTTP_X_FORWARDED_FOR"], environ["HTTP_COOKIE"]) == ("1.1.1.1,2.2.2.2", "a=1; b=2")

    def test_has_no_address_behind_a_unix_socket(self):
        assert environ_of(scope(client=None, server=None))["REMOTE_ADDR"] == ""

    def test_remembers_only_so_many_names(self):
        for n in range(2_000):
            environ_of(scope(headers=[(f"x-{n}".encode(), b"")]))

        assert environ_of(scope(headers=[(b"x-1999", b"y")]))["HTTP_X_1999"] == "y"


class TestALane:
    def test_runs_so_many_jobs_at_once_and_refuses_those_that_would_wait_too_long(self):
        threads = Threads(4, most_waiting=100)
        threads.start()
        lane = Lane(threads, 2, most_waiting=3)
        running, most, lock, go_on, done = [], [], threading.Lock(), threading.Event(), threading.Semaphore(0)

        def job():
            with lock:
                running.append(1)
                most.append(len(running))
            go_on.wait(10)
            with lock:
                running.pop()
            done.release()

        taken = [lane.run(job) for _ in range(7)]
        while len(most) < 2:
            time.sleep(0.01)
        go_on.set()
        finished = [done.acquire(timeout=10) for _ in range(5)]

        assert taken == [True] * 5 + [False] * 2
        assert finished == [True] * 5
        assert max(most) == 2

    def test_goes_on_after_a_job_that_failed(self):
        threads = Threads(1, most_waiting=100)
        threads.start()
        lane, done = Lane(threads, 1, most_waiting=9), threading.Event()

        lane.run(lambda: 1 / 0)
        lane.run(done.set)

        assert done.wait(10)


def taken_by(front, **changes):
    """Pass a call to a front; return what was sent at once, if anything."""
    protocol = Protocol()
    front.take(SimpleNamespace(proto=protocol, scope=scope(**changes), done=lambda: None))
    return protocol.sent


class TestTheLineForPasswords:
    @pytest.mark.parametrize(
        ("method", "path", "waits_apart"),
        [
            ("POST", "/auth/login", True),
            ("POST", "/auth/register", True),
            ("POST", "/auth/password", True),
            ("POST", "/auth/password-reset/confirm", True),
            ("POST", "/reset-password/abc/", True),
            ("POST", "/admin/login/", True),
            ("POST", "/admin/password_change/", True),
            ("POST", "/admin/accounts/user/3/password/", True),
            ("GET", "/admin/login/", False),
            ("POST", "/auth/refresh", False),
            ("POST", "/v2/charges", False),
        ],
    )
    def test_takes_calls_that_hash_and_no_others(self, method, path, waits_apart):
        front, lines = Front(None, threads=4), []
        front.hashing = SimpleNamespace(run=lambda job: lines.append("apart") or True)
        front.threads = SimpleNamespace(run=lambda job: lines.append("with all") or True)

        taken_by(front, method=method, raw_path=path.encode())

        assert lines == ["apart" if waits_apart else "with all"]

    def test_refuses_calls_at_once_when_it_is_full(self):
        front = Front(None, threads=4)  # its threads are not started: all of these wait
        headers = [(b"x-request-id", b"mine")]

        sent = [taken_by(front, method="POST", raw_path=b"/auth/login", headers=headers) for _ in range(60)]
        others = taken_by(front, raw_path=b"/livez")

        refused = [start for start in sent if start]
        head = dict(refused[0][0]["headers"])
        assert (len(refused), others) == (60 - 51, [])
        assert refused[0][0]["status"] == 503
        assert (head[b"Retry-After"], head[b"X-Request-Id"]) == (b"5", b"mine")
        assert json.loads(refused[0][1]["body"])["code"] == "unavailable"


def test_an_application_that_fails_is_a_500_of_our_shape():
    front = Front(lambda *_: 1 / 0, threads=4)
    front.threads = SimpleNamespace(run=lambda job: job() or True)

    start, body = taken_by(front)

    assert (start["status"], json.loads(body["body"])["code"]) == (500, "internal_error")


def test_a_deadline_calls_back_once_unless_it_is_called_off():
    deadlines, told = Deadlines(), []
    kept, late = object(), object()
    deadlines.set(kept, 0, lambda: told.append("kept"))
    deadlines.set(late, 0, lambda: told.append("late"))

    first_call, second_call = deadlines.call_off(kept), deadlines.call_off(kept)
    for _ in range(2):
        deadlines._look(time.monotonic() + 1)

    assert (first_call, second_call, told) == (True, False, ["late"])
    assert not deadlines.call_off(late)


@pytest.fixture
def connection():
    """Yield a listening socket, and both ends of a connection to it."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        bound_unread_answers(7)
        with socket.create_connection(listening.getsockname()) as client:
            accepted, address = listening.accept()
            with accepted:
                yield SimpleNamespace(client=client, accepted=accepted, address=address)


class TestAConnection:
    def test_inherits_the_time_in_which_an_answer_must_be_taken(self, connection):
        assert connection.accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 7_000

    def test_can_be_closed_by_its_clients_address(self, connection):
        break_off(("127.0.0.1", 1))
        break_off(None)
        connection.accepted.sendall(b"still there")
        assert connection.client.recv(100) == b"still there"

        break_off(connection.address)

        connection.client.settimeout(10)
        assert connection.client.recv(100) == b""


class Later:
    """A future that calls back when the test triggers it."""

    def __init__(self):
        self.callbacks = []

    def add_done_callback(self, callback, context):
        self.callbacks.append(callback)


class Protocol:
    """The part of granian's protocol that a stream uses; its client reads pieces when the test triggers it."""

    def __init__(self):
        self.sent, self.futures = [], []

    def send(self, message):
        self.sent.append(message)
        self.futures.append(Later())
        return self.futures[-1]

    def receive(self):
        return Later()


class Pieces:
    def __init__(self, pieces):
        self.pieces, self.closed = pieces, 0

    def __iter__(self):
        return iter(self.pieces)

    def close(self):
        self.closed += 1


@pytest.fixture
def begin(monkeypatch):
    """Return a function that starts a stream of pieces; every job runs at once."""
    broken_off = []
    monkeypatch.setattr(streams, "break_off", broken_off.append)

    def begin(pieces):
        front = Front(None, threads=4)
        front.streams = SimpleNamespace(run=lambda job: job())
        answer, protocol = Pieces(pieces), Protocol()
        ended = []
        call = SimpleNamespace(front=front, protocol=protocol, scope=scope(), end=lambda: ended.append(1))
        Stream(call, answer).begin(200, [])
        return SimpleNamespace(
            answer=answer, protocol=protocol, deadlines=front.deadlines, ended=ended, broken_off=broken_off
        )

    return begin


class TestAStream:
    BIG = b"x" * streams.PIECE_BYTES

    def test_makes_the_next_piece_when_the_last_was_taken(self, begin):
        made = []
        going = begin(made.append(n) or self.BIG for n in range(3))

        before = list(made)
        going.protocol.futures[-1].callbacks[0](None)

        assert (before, made) == ([0], [0, 1])
        assert [message.get("more_body") for message in going.protocol.sent[1:]] == [True, True]

    def test_ends_once_when_all_was_taken(self, begin):
        going = begin([self.BIG, b"y"])
        while not going.ended:
            going.protocol.futures[-1].callbacks[0](None)

        assert going.protocol.sent[-1] == {"type": "http.response.body", "body": b"y", "more_body": False}
        assert (going.answer.closed, going.ended, going.broken_off) == (1, [1], [])

    def test_ends_in_time_when_its_client_reads_nothing(self, begin):
        going = begin([self.BIG] * 9)
        going.deadlines._look(time.monotonic() + streams.PIECE_SECONDS + 1)

        assert going.broken_off == [("198.51.100.1", 4711)]
        assert (going.answer.closed, going.ended) == (1, [1])
        going.protocol.futures[-1].callbacks[0](None)
        assert (going.answer.closed, len(going.protocol.sent)) == (1, 2)

    def test_closes_the_connection_when_it_fails_half_way(self, begin):
        def failing():
            yield self.BIG
            raise ZeroDivisionError

        going = begin(failing())
        going.protocol.futures[-1].callbacks[0](None)

        assert going.broken_off == [("198.51.100.1", 4711)]
        assert going.protocol.sent[-1]["more_body"] is True
        assert going.answer.closed == 1


@pytest.mark.parametrize("port", ["abc", "0", "65536", "-1", "", "８０００"])
def test_an_invalid_port_is_named(port):
    with pytest.raises(SystemExit, match="PORT must be a whole number from 1 to 65535"):
        door.main(port)


def test_the_port_is_checked_before_a_server_is_set_up():
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        asked = subprocess.run(
            [sys.executable, "-m", "config.server.door", str(port)],
            cwd=settings.BASE_DIR, capture_output=True, text=True, check=False,
        )  # fmt: skip

    assert asked.returncode == 1
    assert asked.stderr == (f"Tollbook cannot start: port {port} of 127.0.0.1 is in use. Set another PORT.\n")
