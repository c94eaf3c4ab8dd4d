"""One POST to a webhook: only to checked addresses, and within a time limit."""

from __future__ import annotations

import contextlib
import ipaddress
import shutil
import socket
import ssl
import subprocess
import threading
import time

import pytest

from accounts.providers.addresses import AddressRefused, checked_addresses, is_open_port, is_public
from accounts.providers.webhook_post import MOST_ANSWER_BYTES, post
from tests.accounts.receivers import LOOPBACK, answer, closed_port, drip, receiving

HERE = [ipaddress.ip_address("127.0.0.1")]


@pytest.fixture(autouse=True)
def _loopback_may_be_reached(settings):
    settings.WEBHOOKS_MAY_REACH = [LOOPBACK]


def sent(url, **options):
    return post(url, body=b"{}", headers={"webhook-id": "msg_1"}, **{"within_seconds": 5} | options)


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "255.255.255.255", "224.0.0.1", "239.255.255.250", "240.0.0.1", "192.0.2.1", "192.88.99.1", "198.18.0.1",
        "::1", "::", "fe80::1", "fc00::1", "fd12::1", "fec0::1", "ff02::1", "ff0e::1", "::ffff:8.8.8.8",
        "::ffff:127.0.0.1", "::8.8.8.8", "64:ff9b::808:808", "64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::",
        "2002:808:808::1", "2001::1", "2001:db8::1", "100::1", "4000::1",
        "192.0.0.1", "192.0.0.8", "192.0.0.9", "192.0.0.170", "192.0.0.192", "192.0.0.255", "168.63.129.16",
        "192.31.196.1", "192.52.193.1", "192.175.48.1", "198.19.255.255", "198.51.100.7", "203.0.113.7",
        "255.255.255.254", "100.100.100.200", "100.127.255.255", "169.254.170.2", "172.31.255.255",
        "3fff::1", "3fff:fff:ffff::1", "2001:2::1", "2001:3::1", "2001:4:112::1", "2001:10::1", "2001:20::1",
        "2001:30::1", "2001:1::1", "2001:1ff:ffff::1", "2620:4f:8000::1", "3ffe::1", "5f00::1", "fd00:ec2::254",
        "64:ff9b:1:ffff::1", "100:0:0:1::1", "fe80::1%eth0",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_refused(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(
    "address",
    [
        "8.8.8.8",
        "1.1.1.1",
        "2606:4700:4700::1111",
        "2a00:1450:4001:80e::200e",
        "192.0.1.1",
        "172.32.0.1",
        "100.128.0.1",
        "198.17.255.255",
        "198.20.0.1",
        "223.255.255.254",
        "168.63.129.15",
        "2001:200::1",
        "3fff:1000::1",
        "2003::1",
    ],
)
def test_a_public_address_is_accepted(address):
    assert is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize(("port", "is_open"), [(80, True), (443, True), (1024, True), (22, False), (25, False)])
def test_ports_of_mail_and_shells_are_closed(port, is_open):
    assert is_open_port(port) is is_open


def test_one_private_address_among_public_ones_is_enough_to_refuse_a_host(settings):
    settings.WEBHOOKS_MAY_REACH = []
    both = [ipaddress.ip_address("8.8.8.8"), ipaddress.ip_address("10.0.0.1")]

    with pytest.raises(AddressRefused):
        checked_addresses("example.com", 443, resolver=lambda *_: both)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "2130706433", "0x7f.1", "127.1"])
def test_a_name_that_leads_to_this_machine_is_refused_without_a_connection(settings, host):
    settings.WEBHOOKS_MAY_REACH = []
    with receiving() as receiver:
        outcome = sent(receiver.url(host=host))

    assert (outcome.status, outcome.error) == (None, "The host's address is not public.")
    assert receiver.got == []


def test_a_host_without_an_address_is_refused():
    def nowhere(*_):
        raise socket.gaierror

    assert sent("http://nowhere.example/", resolver=nowhere).error == "The host has no address."
    assert sent("http://nowhere.example/", resolver=lambda *_: []).error == "The host has no address."


def test_the_name_is_looked_up_once_and_the_connection_goes_to_that_address(settings):
    """A second look-up could lead elsewhere: DNS rebinding."""
    looked_up = []

    def rebinding(host, port):
        looked_up.append((host, port))
        return HERE if len(looked_up) == 1 else [ipaddress.ip_address("10.0.0.1")]

    with receiving() as receiver:
        first = sent(receiver.url(host="public.example"), resolver=rebinding)
        second = sent(receiver.url(host="public.example"), resolver=rebinding)

    assert (first.status, first.error) == (200, None)
    assert looked_up[0] == ("public.example", receiver.port)
    assert len(looked_up) == 2
    assert second.error == "The host's address is not public."
    (message,) = receiver.got
    assert message.headers["host"] == f"public.example:{receiver.port}"


def test_the_message_arrives_whole_and_the_start_of_the_answer_is_kept():
    with receiving(text=b"\x00\xff" + b"a" * 5_000) as receiver:
        outcome = sent(receiver.url("/hooks?x=1"))

    (message,) = receiver.got
    assert (message.path, message.body, message.headers["webhook-id"]) == ("/hooks?x=1", b"{}", "msg_1")
    assert message.headers["connection"] == "close"
    assert outcome.is_success
    assert outcome.start == "\ufffd\ufffd" + "a" * 1022
    assert 0 <= outcome.milliseconds < 5_000


def test_an_answer_in_chunks_is_read():
    def chunked(handler):
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(202)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        handler.wfile.write(b"2\r\nok\r\n0\r\n\r\n")

    with receiving(answer=chunked) as receiver:
        outcome = sent(receiver.url())

    assert (outcome.status, outcome.error, outcome.start) == (202, None, "ok")


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_is_a_failure_and_never_followed(status):
    with receiving() as elsewhere, receiving(answer=status, headers={"Location": elsewhere.url()}) as receiver:
        outcome = sent(receiver.url())

    assert (outcome.status, outcome.error) == (status, f"Answered {status}: redirects are not followed.")
    assert elsewhere.got == []


@pytest.mark.parametrize("status", [400, 404, 410, 429, 500, 503])
def test_an_error_is_a_failure_with_its_status(status):
    with receiving(answer=status, headers={"Retry_After": "7"}) as receiver:
        outcome = sent(receiver.url())

    assert (outcome.status, outcome.error, outcome.retry_after) == (status, f"Answered {status}.", "7")


@pytest.mark.parametrize(
    "piece", [b"", b"X-A: b\r\n", b"X", b"Content-Length: 99999\r\n\r\n", b"\r\na", b"HTTP/1.1 100 Continue\r\n\r\n"]
)
def test_a_slow_response_ends_in_time(piece):
    began = time.monotonic()
    with receiving(answer=drip(piece, seconds=0.02)) as receiver:
        outcome = sent(receiver.url(), within_seconds=0.4)

    assert time.monotonic() - began < 1.5
    assert not outcome.is_success


def test_a_server_that_says_nothing_ends_in_time():
    with socket.create_server(("127.0.0.1", 0)) as silent:
        for scheme in ("http", "https"):
            began = time.monotonic()
            outcome = sent(f"{scheme}://127.0.0.1:{silent.getsockname()[1]}/", within_seconds=0.3)
            assert (outcome.status, outcome.error) == (None, "Took too long.")
            assert time.monotonic() - began < 1


def test_a_body_that_is_endless_is_read_no_further_than_64_kib():
    read = []

    def endless(handler):
        answer(handler, 200, Content_Length=str(10**12))
        while True:
            read.append(handler.wfile.write(b"a" * 65_536))

    with receiving(answer=endless) as receiver:
        outcome = sent(receiver.url())

    assert outcome.is_success
    assert len(outcome.start) == 1024
    assert sum(read) < 100 * MOST_ANSWER_BYTES  # what the sockets in between buffer


@pytest.mark.parametrize("text", [b"hello\r\n\r\n", b"HTTP/1.1 two hundred\r\n\r\n", b"", b"HTTP/1.1 200 OK\r\n" * 500])
def test_a_response_that_is_not_http_is_a_failure(text):
    with receiving(answer=lambda handler: handler.wfile.write(text)) as receiver:
        outcome = sent(receiver.url())

    assert outcome.status is None
    assert outcome.error in ("The answer was not HTTP.", "The connection broke off.")


def test_a_closed_port_is_a_failure_and_another_address_of_the_host_is_tried():
    assert sent(f"http://127.0.0.1:{closed_port()}/").error == "The connection was refused."
    with receiving() as receiver:
        closed_then_here = [ipaddress.ip_address("127.0.0.2"), *HERE]
        outcome = sent(receiver.url(host="two.example"), resolver=lambda *_: closed_then_here)

    assert outcome.is_success


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate")
    folder = tmp_path_factory.mktemp("tls")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=public.example", "-addext", "subjectAltName=DNS:public.example",
         "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True, capture_output=True,
    )  # fmt: skip
    return folder


@pytest.mark.parametrize(("host", "error"), [("public.example", None), ("other.example", "certificate was refused")])
def test_the_certificate_must_be_good_for_the_name_and_not_for_the_address(certificate, host, error):
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")
    asked_for = []
    serving.sni_callback = lambda _socket, name, _context: asked_for.append(name)
    trusting = ssl.create_default_context(cafile=str(certificate / "cert.pem"))

    def serve(listening):
        try:
            with serving.wrap_socket(listening.accept()[0], server_side=True) as client:
                got = b""
                while not got.endswith(b"{}"):
                    got += client.recv(65_536)
                client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")
        except OSError:
            pass

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        url = f"https://{host}:{listening.getsockname()[1]}/"
        outcome = sent(url, resolver=lambda *_: HERE, tls=trusting)
        thread.join()

    assert asked_for == [host]
    assert (outcome.status == 204) if error is None else (error in outcome.error)


def test_an_untrusted_certificate_is_refused(certificate):
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate / "cert.pem", certificate / "key.pem")

    def serve(listening):
        with contextlib.suppress(OSError):
            serving.wrap_socket(listening.accept()[0], server_side=True).close()

    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=serve, args=[listening])
        thread.start()
        outcome = sent(f"https://public.example:{listening.getsockname()[1]}/", resolver=lambda *_: HERE)
        thread.join()

    assert outcome.error.startswith("The certificate was refused: self")
