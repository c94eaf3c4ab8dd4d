"""The real server: it finishes calls in progress, and calls that wait too long are told to retry."""

import json
import signal
import socket
import threading
import time
from contextlib import ExitStack

import pytest
from django.db import connection
from django.urls import path
from rest_framework.permissions import AllowAny
from rest_framework.response import Response
from rest_framework.test import APIClient
from rest_framework.views import APIView

from tests.conftest import owner_connection
from tests.factories import customer_with
from tests.ledger.posting import post
from tests.server import Server

pytestmark = pytest.mark.django_db(transaction=True)
REGISTRATION = {"email": "slow@example.com", "password": "a-long-enough-one-7"}


def test_a_call_that_has_begun_is_answered_in_full_after_sigterm():
    answers = []
    with Server() as server, owner_connection() as owner:
        owner.execute("LOCK TABLE accounts_user IN EXCLUSIVE MODE")
        caller = threading.Thread(target=lambda: answers.append(server.call("POST", "/auth/register", REGISTRATION)))
        caller.start()
        waiting_for_a_lock()

        server.process.send_signal(signal.SIGTERM)
        time.sleep(1)
        still_there = server.process.poll() is None
        owner.rollback()
        caller.join(timeout=30)
        code = server.process.wait(timeout=30)
        with pytest.raises(OSError, match=r"refused|reset"):
            server.call("GET", "/livez", timeout=2)

    ((status, body, headers),) = answers
    assert (still_there, status, code) == (True, 201, 0)
    assert json.loads(body)["email"] == "slow@example.com"
    assert int(headers["Content-Length"]) == len(body)


def test_silent_connections_keep_no_server_from_stopping():
    with Server() as server, ExitStack() as held:
        for _ in range(8):
            held.enter_context(socket.create_connection(("127.0.0.1", server.port)))
        time.sleep(0.3)
        began = time.monotonic()
        server.process.send_signal(signal.SIGTERM)
        code = server.process.wait(timeout=30)

    assert code == 0
    assert time.monotonic() - began < 15


def test_workers_and_threads_answer_side_by_side_and_keep_their_connections():
    with Server(workers=2) as server, owner_connection() as owner:
        owner.execute("LOCK TABLE accounts_user IN EXCLUSIVE MODE")
        caller = threading.Thread(target=lambda: server.call("POST", "/auth/register", REGISTRATION))
        caller.start()
        waiting_for_a_lock()
        beside = [server.call("GET", "/readyz")[0] for _ in range(20)]
        kept = connections_of_the_application()
        owner.rollback()
        caller.join(timeout=30)
        for _ in range(20):
            server.call("GET", "/readyz")
        after = connections_of_the_application()

    assert beside == [200] * 20
    assert 2 <= kept <= after <= 2 * 4 + 1


@pytest.mark.parametrize(("trusted", "statuses"), [("unix", [404, 404, 429, 404]), ("", [404, 404, 429, 429])])
def test_callers_behind_a_unix_socket_are_distinguished_when_its_proxy_is_trusted(tmp_path, trusted, statuses):
    with Server(uds=tmp_path / "s", TRUSTED_PROXIES=trusted, RATE_LIMIT_PER_ADDRESS="2") as server:
        answered = [
            server.call("GET", "/v2/nothing", **{"X-Forwarded-For": f"198.51.100.{caller}"})[0]
            for caller in (1, 1, 1, 2)
        ]

    assert answered == statuses


def waiting_for_a_lock():
    """Wait until another connection to this database waits for a lock."""
    for _ in range(100):
        with owner_connection() as owner:
            waiting = (
                "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'accounts_user'::regclass"
                " AND database = (SELECT oid FROM pg_database WHERE datname = current_database())"
            )
            if owner.execute(waiting).fetchone()[0]:
                return
        time.sleep(0.05)
    raise AssertionError("nobody waits")


def connections_of_the_application():
    with owner_connection() as owner:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND usename = %s"
        return owner.execute(query, [connection.settings_dict["USER"]]).fetchone()[0]


class PostView(APIView):
    authentication_classes = ()
    permission_classes = (AllowAny,)

    def post(self, request):
        return Response({"entry": post(request.data["user"], 1).entry.pk})


urlpatterns = [path("v2/post", PostView.as_view())]


class TestWaiting:
    @pytest.fixture(autouse=True)
    def _here(self, settings):
        settings.ROOT_URLCONF = __name__

    @pytest.mark.parametrize("limit", ["lock_timeout", "statement_timeout"])
    def test_for_a_locked_balance_ends_in_a_503_with_retry_after(self, limit):
        user = customer_with(10)
        with owner_connection() as owner, connection.cursor() as cursor:
            owner.execute("SELECT FROM ledger_balance WHERE user_id = %s FOR UPDATE", [user.pk])
            cursor.execute(f"SET {limit} = '200ms'")
            began = time.monotonic()

            answer = APIClient().post("/v2/post", {"user": user.pk})
            waited = time.monotonic() - began
            owner.rollback()
            again = APIClient().post("/v2/post", {"user": user.pk})
        connection.close()

        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert int(answer.headers["Retry-After"]) > 0
        assert 0.2 <= waited < 3
        assert again.status_code == 200
