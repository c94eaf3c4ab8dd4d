"""Which addresses a customer's webhooks may lead to: public ones, looked up anew for every attempt."""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Callable, Sequence

from django.conf import settings

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[Address]]

LOWEST_FREE_PORT = 1024
_WELL_KNOWN_PORTS = (80, 443)
_UNICAST = ipaddress.IPv6Network("2000::/3")  # all of IPv6 that is assigned to anybody (RFC 4291, 2.4)
# Public by the letter of the registry, but they lead to whatever IPv4 address is written inside them, or to the
# nearest relay: 6to4 (RFC 7526), its anycast address, Teredo. NAT64 and mapped addresses are outside of 2000::/3.
_TUNNELS: tuple[Network, ...] = (
    ipaddress.IPv6Network("2002::/16"),
    ipaddress.IPv6Network("2001::/32"),
    ipaddress.IPv4Network("192.88.99.0/24"),
)


class AddressRefused(Exception):
    """The host is none that we would talk to, or has no address; it is not said which address it has."""


def is_public(address: Address) -> bool:
    """Tell whether an address belongs to one machine of the public internet."""
    if any(address.version == tunnel.version and address in tunnel for tunnel in _TUNNELS):
        return False
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return address.is_global and not address.is_multicast and not address.is_reserved


def may_reach(address: Address) -> bool:
    """Tell whether a webhook may go to an address: a public one, or one that WEBHOOKS_MAY_REACH names."""
    allowed: Sequence[Network] = settings.WEBHOOKS_MAY_REACH
    return is_public(address) or any(address in network for network in allowed if network.version == address.version)


def is_open_port(port: int) -> bool:
    """Tell whether a port is one of the web's or of nobody's: not those of mail, shells and the like."""
    return port in _WELL_KNOWN_PORTS or LOWEST_FREE_PORT <= port <= 65_535


def resolve(host: str, port: int) -> list[Address]:
    """Ask the system's resolver for all addresses of a host.

    :raises OSError: if there is none, or nobody answers
    """
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    texts = dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found)
    return [ipaddress.ip_address(text) for text in texts]


def checked_addresses(host: str, port: int, *, resolver: Resolver) -> list[Address]:
    """Look a host up and give its addresses, all of which may be reached.

    :raises AddressRefused: if one of them may not, or there is none
    """
    try:
        addresses = list(resolver(host, port))
    except (OSError, UnicodeError):
        raise AddressRefused("The host has no address.") from None
    if not addresses:
        raise AddressRefused("The host has no address.")
    if not all(may_reach(address) for address in addresses):
        raise AddressRefused("The host's address is not public.")
    return addresses
