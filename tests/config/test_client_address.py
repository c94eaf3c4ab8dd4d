from __future__ import annotations

import ipaddress

import pytest
from django.test import RequestFactory

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


def test_a_whole_ipv6_network_counts_as_one_address():
    assert address_to_count(request("2001:db8::1")) == address_to_count(request("2001:db8::ffff:2"))
    assert address_to_count(request("2001:db8::1")) != address_to_count(request("2001:db8:0:1::1"))
