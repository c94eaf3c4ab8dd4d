"""The real server with clients that send nothing, send half or read nothing: other calls are served at once.

None of these clients may own a thread: of the four that a worker has, sixty-four would have all.
"""

from __future__ import annotations

import json
import os
import socket
import statistics
import subprocess
import sys
import time
import uuid
from contextlib import ExitStack, contextmanager

import pytest
from django.conf import settings

from config.server.door import DoorTaken, clear_socket, hold_port
from tests.account import client_of
from tests.conftest import owner_connection
from tests.factories import ApiKeyFactory, ServiceKeyFactory, UserFactory, customer_with
from tests.server import Server
from tests.usage.metering import price

pytestmark = pytest.mark.django_db(transaction=True)

CLIENTS = 64
HTTP2_PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
LARGEST_BODY = 1024 * 1024
JSON = "Content-Type: application/json\r\n"


@pytest.fixture(scope="module")
def server(django_db_setup, django_db_blocker):
    with django_db_blocker.unblock(), Server(RATE_LIMIT_PER_ADDRESS="100000", LOG_LEVEL="ERROR") as running:
        yield running


@pytest.fixture(scope="module", autouse=True)
def late(server):
    """Start an incomplete call before all tests, so that only the last one waits for its deadline."""
    with beside(server, sent=half_requests()["half a body"], number=1) as (client,):
        yield client, time.monotonic()


def connected(server, receive_bytes=0):
    made = socket.socket()
    if receive_bytes:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    made.settimeout(20)
    made.connect(("127.0.0.1", server.port))
    return made


@contextmanager
def beside(server, *, sent, number=CLIENTS, receive_bytes=0):
    """Hold connections on each of which `sent` was sent; yield the sockets."""
    with ExitStack() as held:
        made = []
        for n in range(number):
            client = held.enter_context(connected(server, receive_bytes))
            client.sendall(sent(n) if callable(sent) else sent)
            made.append(client)
        time.sleep(0.3)
        yield made


def answer_on(client):
    """Return a response, read to its end or to that of the connection."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = client.recv(65536)
        if not piece:
            return received, b""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    (length,) = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")] or [b":0"]
    while len(body) < int(length.partition(b":")[2]):
        body += client.recv(65536)
    return head, body


def milliseconds_beside(server):
    """Return the times of twenty liveness checks and twenty charges of another customer."""
    price("translate", 1)
    customer, key = customer_with(100), ServiceKeyFactory().raw
    taken = []
    for call in ("livez", "charge") * 20:
        began = time.perf_counter()
        if call == "livez":
            status = server.call("GET", "/livez", timeout=10)[0]
        else:
            body = {"user_id": customer.pk, "endpoint": "translate"}
            headers = {"X-API-KEY": key, "Idempotency-Key": uuid.uuid4().hex}
            status = server.call("POST", "/v2/charges", body, timeout=10, **headers)[0]
        taken.append((time.perf_counter() - began) * 1000)
        assert status in {200, 201}
    return taken


def assert_undisturbed(server):
    taken = milliseconds_beside(server)
    assert statistics.median(taken) < 100, sorted(taken)
    assert max(taken) < 2000, sorted(taken)  # of a loaded machine; a thread that is owned would take ten seconds


def half_requests():
    head = "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
    length, chunked = "Content-Length: 100\r\n\r\n", "Transfer-Encoding: chunked\r\n\r\n"
    return {
        "no body": f"{head.format(path='/auth/login')}{length}".encode(),
        "half a body": f'{head.format(path="/v2/charges")}{length}{{"a": '.encode(),
        "no chunk": f"{head.format(path='/v2/charges')}{chunked}".encode(),
        "half a chunk": f"{head.format(path='/admin/login/')}{chunked}ff\r\nabc".encode(),
        "half the headers": b"GET /livez HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Half: ",
        "nothing": b"",
    }


class TestACallBeside:
    @pytest.mark.parametrize("sent", half_requests().values(), ids=half_requests())
    def test_sixty_four_clients_that_stop_half_way_is_undisturbed(self, server, sent):
        with beside(server, sent=sent):
            assert_undisturbed(server)

    def test_unread_downloads_is_undisturbed(self, server):
        customers = [UserFactory() for _ in range(8)]
        with_long_logs(customers)
        tokens = [client_of(customer).defaults["HTTP_AUTHORIZATION"] for customer in customers]

        def asking(n):
            token = tokens[n % len(tokens)]
            line = "GET /auth/account/requests?format=csv HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            return f"{line}Authorization: {token}\r\n\r\n".encode()

        with beside(server, sent=asking, receive_bytes=4096) as clients:
            assert_undisturbed(server)
            heads = [client.recv(12) for client in clients]

        assert heads.count(b"HTTP/1.1 200") == len(customers)
        assert heads.count(b"HTTP/1.1 429") == CLIENTS - len(customers)

    def test_a_flood_of_sign_ins_waits_for_none_of_its_hashes(self, server):
        body = b'{"email": "nobody@example.com", "password": "a-long-enough-one-7"}'
        head = f"POST /auth/login HTTP/1.1\r\nHost: 127.0.0.1\r\n{JSON}Content-Length: {len(body)}\r\n\r\n".encode()

        with beside(server, sent=head + body, number=9) as clients:
            assert_undisturbed(server)
            heads = [answer_on(client)[0][:12] for client in clients]

        assert heads == [b"HTTP/1.1 401"] * 9

    def test_two_thousand_silent_connections_is_undisturbed(self, server):
        with beside(server, sent=b"", number=2050):
            assert_undisturbed(server)

    def test_clients_that_speak_http2_is_undisturbed(self, server):
        with beside(server, sent=HTTP2_PREFACE + bytes([0, 0, 0, 4, 0, 0, 0, 0, 0])) as clients:
            assert_undisturbed(server)
            answers = [client.recv(64) for client in clients]

        assert all(not answer or answer.startswith(b"HTTP/1.1 400") for answer in answers)


def with_long_logs(customers, rows=12_000):
    """Give each customer more requests than sockets buffer: some twelve megabytes as CSV."""
    with owner_connection() as owner:
        for customer in customers:
            owner.execute(
                "INSERT INTO usage_requestlog (user_id, endpoint, path, method, status, credits, source, occurred_at)"
                " SELECT %s, 'translate', '/' || repeat('x', 1000), 'GET', 200, 0, 'slow', now()"
                " FROM generate_series(1, %s)",
                [customer.pk, rows],
            )
            owner.execute(
                "INSERT INTO usage_dailyusage (user_id, day, endpoint, successful, failed, rejected, credits)"
                " VALUES (%s, (now() AT TIME ZONE 'UTC')::date, 'translate', %s, 0, 0, 0)",
                [customer.pk, rows],
            )


class TestADownload:
    def test_arrives_complete_at_a_slow_client_and_the_next_one_may_begin(self, server):
        customer = UserFactory()
        with_long_logs([customer])
        token = client_of(customer).defaults["HTTP_AUTHORIZATION"]
        route, headers = "/auth/account/requests?format=csv", {"Authorization": token}

        first = server.call("GET", route, **headers)
        second = server.call("GET", route, **headers)

        assert (first[0], second[0]) == (200, 200)
        assert len(first[1].splitlines()) == len(second[1].splitlines()) == 12_001

    def test_gives_its_place_back_when_its_client_goes(self, server):
        customer = UserFactory()
        with_long_logs([customer])
        token = client_of(customer).defaults["HTTP_AUTHORIZATION"]
        route = "/auth/account/requests?format=csv"
        asked = f"GET {route} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: {token}\r\n\r\n".encode()

        with beside(server, sent=asked, number=1, receive_bytes=4096):
            refused, _, refusal = server.call("GET", route, Authorization=token)
        statuses = []
        while 200 not in statuses and len(statuses) < 100:
            time.sleep(0.1)
            statuses.append(server.call("GET", route, Authorization=token)[0])

        assert (refused, int(refusal["Retry-After"]) > 0) == (429, True)
        assert statuses[-1] == 200


class TestABody:
    @pytest.mark.parametrize(
        ("path", "limit"), [("/v2/charges", LARGEST_BODY), ("/v2/events", 5 * LARGEST_BODY), ("/v2/none", LARGEST_BODY)]
    )
    def test_beyond_the_limit_is_a_413_before_authentication(self, server, path, limit):
        said = f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{JSON}"

        with connected(server) as declared:
            declared.sendall(f"{said}Content-Length: {limit + 1}\r\n\r\n".encode())
            head, body = answer_on(declared)
        with connected(server) as chunked:
            chunked.sendall(f"{said}Transfer-Encoding: chunked\r\n\r\n".encode())
            piece = b"%x\r\n%s\r\n" % (65536, b" " * 65536)
            for _ in range(limit // 65536):
                chunked.sendall(piece)
            chunked.sendall(b"1\r\n \r\n")
            chunked_head, chunked_body = answer_on(chunked)

        for status, text in ((head, body), (chunked_head, chunked_body)):
            assert status.startswith(b"HTTP/1.1 413")
            assert json.loads(text)["code"] == "body_too_large"
        assert str(limit) in json.loads(body)["detail"]

    def test_in_countless_pieces_is_a_413(self, server):
        said = f"POST /v2/charges HTTP/1.1\r\nHost: 127.0.0.1\r\n{JSON}Transfer-Encoding: chunked\r\n\r\n"

        with connected(server) as client:
            client.sendall(said.encode() + b"1\r\n \r\n" * 10_001)
            head, body = answer_on(client)

        assert head.startswith(b"HTTP/1.1 413")
        assert json.loads(body)["code"] == "body_too_large"

    def test_may_have_the_largest_size_in_chunks_and_at_once(self, server):
        key = ServiceKeyFactory().raw
        body = b'{"api_key": "' + b"x" * (LARGEST_BODY - 15) + b'"}'
        said = f"POST /v2/keys/verify HTTP/1.1\r\nHost: 127.0.0.1\r\nX-API-KEY: {key}\r\n{JSON}"

        with connected(server) as whole:
            whole.sendall(f"{said}Content-Length: {len(body)}\r\n\r\n".encode() + body)
            answered = answer_on(whole)
        with connected(server) as chunked:
            pieces = [body[n : n + 50_000] for n in range(0, len(body), 50_000)]
            sent = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
            chunked.sendall(f"{said}Transfer-Encoding: chunked\r\n\r\n".encode() + sent + b"0\r\n\r\n")
            chunked_answered = answer_on(chunked)

        assert len(body) == LARGEST_BODY
        assert answered[1] == chunked_answered[1]
        assert b" 413 " not in answered[0]


class TestHeaders:
    def test_with_underscores_are_dropped(self, server):
        key = ApiKeyFactory().raw

        spelt = server.call("GET", "/v2/account/summary", **{"X-API-KEY": key})
        respelt = server.call("GET", "/v2/account/summary", X_API_KEY=key)
        unnamed = server.call("GET", "/livez", X_Request_Id="mine")
        service = {"X-API-KEY": ServiceKeyFactory().raw, "Idempotency_Key": "k"}
        unkeyed = server.call("POST", "/v2/charges", {"user_id": 1, "endpoint": "x"}, **service)

        assert (spelt[0], respelt[0]) == (200, 401)
        assert unnamed[2]["X-Request-Id"] != "mine"
        assert (unkeyed[0], json.loads(unkeyed[1])["code"]) == (400, "idempotency_key_required")


class TestASecondServer:
    def test_on_a_port_in_use_says_so_and_ends(self, server):
        command = [sys.executable, "-m", "config.server", "--port", str(server.port)]
        environment = os.environ | {"TOLLBOOK_ENV": "development"}

        second = subprocess.run(
            command, cwd=settings.BASE_DIR, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

        assert second.returncode == 1
        assert second.stderr.startswith("Tollbook cannot start: ")
        assert str(server.port) in second.stderr
        assert second.stderr.count("\n") == 1

    def test_started_at_the_same_time_finds_the_port_taken_too(self):
        with hold_port("127.0.0.1", 0) as held, pytest.raises(DoorTaken, match="Set another PORT"):
            hold_port("127.0.0.1", held.getsockname()[1])

    def test_may_not_share_a_socket_file_in_use(self, tmp_path):
        path = tmp_path / "s"
        with socket.socket(socket.AF_UNIX) as listening:
            listening.bind(str(path))
            listening.listen()
            with pytest.raises(DoorTaken):
                clear_socket(path)

        clear_socket(path)

        assert not path.exists()


def test_the_server_reads_its_threads_from_the_settings_of_everybody(settings):
    assert settings.SERVER_THREADS == 4


def test_a_body_that_does_not_come_in_ten_seconds_is_a_408(late):
    client, began = late

    head, body = answer_on(client)

    assert head.startswith(b"HTTP/1.1 408")
    assert json.loads(body)["code"] == "body_too_late"
    assert b"x-request-id" in head.lower()
    assert time.monotonic() - began > 8
