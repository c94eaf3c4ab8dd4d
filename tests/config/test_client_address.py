from __future__ import annotations

import ipaddress

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.test import RequestFactory

from config import env
from config.http.client_address import address_to_count, client_address


def request(peer, forwarded=None):
    extra = {"REMOTE_ADDR": peer}
    if forwarded is not None:
        extra["HTTP_X_FORWARDED_FOR"] = forwarded
    return RequestFactory().get("/", **extra)


@pytest.fixture(autouse=True)
def _trusted(settings):
    settings.TRUSTED_PROXIES = [ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")]


@pytest.mark.parametrize(
    ("peer", "forwarded", "address"),
    [
        ("203.0.113.9", None, "203.0.113.9"),
        ("203.0.113.9", "198.51.100.1", "203.0.113.9"),
        ("10.0.0.1", None, "10.0.0.1"),
        ("10.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("10.0.0.1", "junk, 198.51.100.1", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1, junk", "10.0.0.1"),
        ("10.0.0.1", "junk", "10.0.0.1"),
        ("10.0.0.1", ", ,198.51.100.1,", "198.51.100.1"),
        ("10.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("fd00::1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:10.0.0.1", "::ffff:198.51.100.1", "198.51.100.1"),
        ("::ffff:203.0.113.9", None, "203.0.113.9"),
        ("", "198.51.100.1", "unknown"),
    ],
)
def test_the_caller_is_the_first_hop_from_the_right_that_is_not_trusted(peer, forwarded, address):
    assert client_address(request(peer, forwarded)) == address


@pytest.mark.parametrize(
    ("forwarded", "address"),
    [
        ("198.51.100.1", "198.51.100.1"),
        ("1.1.1.1, 198.51.100.1", "198.51.100.1"),
        ("1.1.1.1, 198.51.100.1, 10.0.0.2", "198.51.100.1"),
        ("198.51.100.1, junk", "unknown"),
        ("", "unknown"),
        (None, "unknown"),
    ],
)
def test_a_unix_socket_is_a_proxy_when_it_is_trusted(settings, forwarded, address):
    settings.TRUST_UNIX_SOCKET = True

    assert client_address(request("", forwarded)) == address


def test_a_caller_with_an_address_is_not_trusted_when_the_unix_socket_is(settings):
    settings.TRUST_UNIX_SOCKET = True

    assert client_address(request("203.0.113.9", "198.51.100.1")) == "203.0.113.9"


@pytest.mark.parametrize(
    ("said", "read"),
    [("", ([], False)), ("unix", ([], True)), ("10.0.0.5, unix", ([ipaddress.ip_network("10.0.0.5")], True))],
)
def test_trusted_proxies_may_name_the_unix_socket(monkeypatch, said, read):
    monkeypatch.setenv("TRUSTED_PROXIES", said)

    assert env.proxies("TRUSTED_PROXIES") == read


def test_trusted_proxies_names_what_it_cannot_read(monkeypatch):
    monkeypatch.setenv("TRUSTED_PROXIES", "unix,socket")

    with pytest.raises(ImproperlyConfigured, match="or unix for a Unix socket"):
        env.proxies("TRUSTED_PROXIES")


def test_a_whole_ipv6_network_counts_as_one_address():
    assert address_to_count(request("2001:db8::1")) == address_to_count(request("2001:db8::ffff:2"))
    assert address_to_count(request("2001:db8::1")) != address_to_count(request("2001:db8:0:1::1"))
