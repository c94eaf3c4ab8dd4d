"""DATABASE_URL is parsed as libpq does, and all of its options are used on every way to the database."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

from config import env
from config.doctor.transport import Link
from config.management.commands.dbshell import Client

_SSL_REQUEST, _GSS_REQUEST = 80877103, 80877104
PASSWORD = "correct-horse-battery"

# Every way to the database that this project has, tried in a process of its own; all of them fail here.
_ALL_WAYS = """
import asyncio, django, os, threading, time
django.setup()
from contextlib import suppress
from django.db import Error, connections
from config.db.owner import as_owner
from config.jobs.worker import worker_app
from django.core.management import call_command

async def work():
    async with worker_app([]).open_async():
        pass

for alias in ("default", "owner"):
    with suppress(Error):
        connections[alias].ensure_connection()
    with suppress(Error):
        connections.create_connection(alias).ensure_connection()
with suppress(Error):
    with as_owner():
        pass
def work_on():  # by itself it tries for half a minute, and does not always end when it is cancelled
    with suppress(Exception):
        asyncio.run(work())

threading.Thread(target=work_on, daemon=True).start()
time.sleep(1)
with suppress(BaseException):
    call_command("dbshell", "--", "-c", "SELECT 1")
with suppress(BaseException):
    call_command("dbshell", "--database", "owner", "--", "-c", "SELECT 1")
print("tried", flush=True)
os._exit(0)  # whatever the worker still does
"""

_SHOW_OPTIONS = """
import json
from django.conf import settings
print(json.dumps({alias: login["OPTIONS"] for alias, login in settings.DATABASES.items()}))
"""


def read(monkeypatch: pytest.MonkeyPatch, url: str) -> dict:
    monkeypatch.setenv("DATABASE_URL", url)
    found = env.database("DATABASE_URL")
    assert found is not None
    return found


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://app:secret@db:5433/credits", {"USER": "app", "PASSWORD": "secret", "HOST": "db", "PORT": "5433"}),
        ("postgresql://app@db/credits", {"USER": "app", "PASSWORD": "", "HOST": "db", "PORT": ""}),
        ("postgres://app:p%40ss%2Fw%23%25@db/credits", {"PASSWORD": "p@ss/w#%"}),
        ("postgres://app@[::1]:5433/credits", {"HOST": "::1", "PORT": "5433"}),
        ("postgres://app@%2Frun%2Fpostgresql:5433/credits", {"HOST": "/run/postgresql", "PORT": "5433"}),
        ("postgres://app@:5433//run/postgresql/credits", {"HOST": "/run/postgresql", "PORT": "5433"}),
        ("postgres:///credits?host=/run/postgresql&user=app", {"HOST": "/run/postgresql", "USER": "app"}),
        ("postgres://app@a,b:5433,c/credits", {"HOST": "a,b,c", "PORT": ",5433,"}),
    ],
)
def test_an_address_is_read_as_libpq_reads_it(monkeypatch, url, expected):
    found = read(monkeypatch, url)

    assert found["NAME"] == "credits"
    assert {name: found[name] for name in expected} == expected
    assert found["OPTIONS"] == {}


def test_the_options_of_an_address_are_kept(monkeypatch):
    asked = (
        "sslmode=verify-full&sslrootcert=/etc/ssl/db.pem&target_session_attrs=read-write&connect_timeout=5"
        "&application_name=tollbook%20eu&options=-c%20search_path%3Dpublic&channel_binding=require"
    )

    found = read(monkeypatch, f"postgres://app@db/credits?{asked}")

    assert found["OPTIONS"] == {
        "sslmode": "verify-full",
        "sslrootcert": "/etc/ssl/db.pem",
        "target_session_attrs": "read-write",
        "connect_timeout": "5",
        "application_name": "tollbook eu",
        "options": "-c search_path=public",
        "channel_binding": "require",
    }


@pytest.mark.parametrize(
    ("url", "named"),
    [
        ("postgres://app@db/credits?sslmod=verify-full", "sslmod"),
        ("postgres://app@db/credits?sslmode=", "without a value"),
        ("postgres://app@db/credits?sslmode=require&sslmode=disable", "twice"),
        ("postgres://app@db/credits?conn_max_age=1", "conn_max_age"),
        ("postgres://app@db/credits?client_encoding=latin1", "client_encoding"),
        ("postgres://app@db", "must look like"),
        ("mysql://app@db/credits", "must look like"),
        ("db", "must look like"),
    ],
)
def test_a_malformed_address_is_refused(monkeypatch, url, named):
    monkeypatch.setenv("DATABASE_URL", url)

    with pytest.raises(ImproperlyConfigured, match=named) as refused:
        env.database("DATABASE_URL")

    assert str(refused.value).startswith("DATABASE_URL ")


def test_a_refused_address_does_not_show_its_password(monkeypatch):
    monkeypatch.setenv("DATABASE_URL", f"postgres://app:{PASSWORD}%zz@db/credits")

    with pytest.raises(ImproperlyConfigured) as refused:
        env.database("DATABASE_URL")

    assert PASSWORD not in str(refused.value)


@contextmanager
def server_without_tls() -> Iterator[tuple[int, list[bytes]]]:
    """Listen as a PostgreSQL without TLS would, or an attacker; yield the port and what clients sent.

    An SSLRequest is answered by N; of what comes then the first packet is kept, and the connection closed.
    """
    packets: list[bytes] = []
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            with client, suppress(OSError):
                client.settimeout(5)
                while packet := _packet(client):
                    packets.append(packet)
                    if int.from_bytes(packet[:4]) not in {_SSL_REQUEST, _GSS_REQUEST}:
                        break
                    client.sendall(b"N")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    try:
        yield listener.getsockname()[1], packets
    finally:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        thread.join(timeout=5)


def _packet(client: socket.socket) -> bytes:
    length = client.recv(4, socket.MSG_WAITALL)
    return client.recv(int.from_bytes(length) - 4, socket.MSG_WAITALL) if len(length) == 4 else b""


def try_all_ways(place: str, options: str) -> None:
    """Connect in a new process in every way, as both logins."""
    ran = subprocess.run(
        [sys.executable, "-c", _ALL_WAYS],
        env={name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        | {
            "TOLLBOOK_ENV": "development",
            "DJANGO_SETTINGS_MODULE": "config.settings",
            "DATABASE_URL": f"postgres://app:{PASSWORD}@{place}/credits?{options}",
            "DATABASE_OWNER_URL": f"postgres://owner:{PASSWORD}@{place}/credits?{options}",
        },
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.stdout.strip().endswith("tried"), ran.stderr


def test_a_server_that_refuses_tls_receives_no_password_on_any_way():
    with server_without_tls() as (port, packets):
        try_all_ways(f"localhost:{port}", "sslmode=verify-full&sslrootcert=system&connect_timeout=3&gssencmode=disable")

    assert len(packets) >= 8
    assert {int.from_bytes(packet) for packet in packets} == {_SSL_REQUEST}


def test_every_way_takes_the_options_along_to_the_host_that_answers():
    with server_without_tls() as (port, packets), socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
        closed.close()
        options = "sslmode=disable&application_name=eu-1&connect_timeout=3&options=-c%20search_path%3Dpublic"
        try_all_ways(f"127.0.0.1:{nobody},127.0.0.1:{port}", options)

    told = [dict(zip(*[iter(packet[4:].split(b"\0"))] * 2, strict=False)) for packet in packets]
    assert len(told) >= 8
    assert {each[b"user"] for each in told} == {b"app", b"owner"}
    assert {each[b"application_name"] for each in told} == {b"eu-1"}
    assert {each[b"options"] for each in told} == {b"-c search_path=public"}


@pytest.mark.parametrize(
    ("more", "owners"), [("", {"sslmode": "verify-full", "prepare_threshold": 0}), ("&prepare_threshold=3", None)]
)
def test_each_login_has_its_own_options_beside_ours(more, owners):
    ran = subprocess.run(
        [sys.executable, "-c", _SHOW_OPTIONS],
        env={"PATH": os.environ["PATH"], "TOLLBOOK_ENV": "development", "DJANGO_SETTINGS_MODULE": "config.settings"}
        | {
            "DATABASE_URL": "postgres://app@db/credits?sslmode=require",
            "DATABASE_OWNER_URL": f"postgres://owner@db/credits?sslmode=verify-full{more}",
        },
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        check=False,
    )

    if owners is None:  # not an option of libpq but of this project
        assert "DATABASE_OWNER_URL has an option that libpq does not know: prepare_threshold" in ran.stderr
    else:
        assert json.loads(ran.stdout) == {"default": {"sslmode": "require", "prepare_threshold": 0}, "owner": owners}


def test_psql_gets_every_option_and_the_password_by_its_environment():
    asked = {
        "NAME": "credits", "USER": "app", "PASSWORD": PASSWORD, "HOST": "a,b", "PORT": "5432,5433",
        "OPTIONS": {"target_session_attrs": "read-write", "sslmode": "verify-full", "prepare_threshold": 0},
    }  # fmt: skip

    command, environment = Client.settings_to_cmd_args_env(asked, ["-c", "SELECT 1"])

    assert command[:3] == ["psql", "-c", "SELECT 1"]
    assert "target_session_attrs=read-write" in command[3]
    assert "sslmode=verify-full" in command[3]
    assert "prepare_threshold" not in command[3]
    assert PASSWORD not in " ".join(command)
    assert environment == {"PGPASSWORD": PASSWORD}


@pytest.mark.parametrize(
    ("link", "found"),
    [
        (Link("DATABASE_URL", "/run/postgresql", "", False, ""), ""),
        (Link("DATABASE_URL", "@abstract", "", False, ""), ""),
        (Link("DATABASE_URL", "localhost", "127.0.0.1", False, ""), ""),
        (Link("DATABASE_URL", "localhost", "::1", False, "disable"), ""),
        (Link("DATABASE_URL", "db", "10.0.0.5", False, "prefer"), "DATABASE_URL connects without TLS"),
        (Link("DATABASE_OWNER_URL", "db", "10.0.0.5", False, ""), "DATABASE_OWNER_URL connects without TLS"),
        (Link("DATABASE_URL", "db", "fe80::1%eth0", False, ""), "DATABASE_URL connects without TLS"),
        (Link("DATABASE_URL", "db", "10.0.0.5", True, ""), "DATABASE_URL does not demand the TLS it has with db"),
        (Link("DATABASE_URL", "db", "10.0.0.5", True, "require"), ""),
        (Link("DATABASE_URL", "db", "10.0.0.5", True, "verify-full"), ""),
    ],
)
def test_an_unencrypted_connection_over_a_network_is_found(link, found):
    details = [finding.detail for finding in link.findings()]

    assert len(details) == bool(found)
    assert all(detail.startswith(found) and "sslmode=verify-full" in detail for detail in details)
