"""Which addresses webhooks may be sent to: public ones, looked up again for every attempt."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Sequence

from django.conf import settings

from accounts.providers.look_ups import TooManyLookUps, look_up

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
Resolver = Callable[[str, int], Sequence[Address]]

LOOK_UP_SECONDS = 5.0
LOWEST_FREE_PORT = 1024
_WELL_KNOWN_PORTS = (80, 443)
_UNICAST = ipaddress.IPv6Network("2000::/3")  # all of IPv6 that is assigned (RFC 4291, 2.4)
# IANA's registries of special-purpose addresses, IPv4 and IPv6, as of November 2026 (RFC 6890). The list is our own,
# since Python's `is_global` is as old as its version and accepts some of these. Those of them that
# are "globally reachable" are refused as well: they are relays, sinks and anycast services, not web servers.
_SPECIAL_IPV4 = (
    "0.0.0.0/8",  # this network
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16",  # private use
    "100.64.0.0/10",  # shared by customers of a carrier
    "127.0.0.0/8",  # loopback
    "168.63.129.16/32",  # in no registry: the host of an Azure machine
    "169.254.0.0/16",  # link-local, metadata of clouds
    "192.0.0.0/24",  # protocol assignments, metadata of clouds
    "192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24",  # documentation
    "192.31.196.0/24", "192.175.48.0/24",  # AS112
    "192.52.193.0/24",  # AMT
    "192.88.99.0/24",  # relays of 6to4
    "198.18.0.0/15",  # benchmarks
    "224.0.0.0/4",  # multicast
    "240.0.0.0/4",  # reserved, and broadcast
)  # fmt: skip
_SPECIAL_IPV6 = (  # within 2000::/3; everything else is refused anyway
    "2001::/23",  # protocol assignments: Teredo, benchmarks, AMT, AS112, ORCHID, DRIP
    "2001:db8::/32", "3fff::/20",  # documentation
    "2002::/16",  # 6to4, which leads to the IPv4 address inside it
    "2620:4f:8000::/48",  # AS112
    "3ffe::/16",  # the former 6bone
)  # fmt: skip
_SPECIAL: tuple[Network, ...] = tuple(ipaddress.ip_network(each) for each in (*_SPECIAL_IPV4, *_SPECIAL_IPV6))


class AddressRefused(Exception):
    """The host may not be contacted or has no address. The sentence does not reveal its address."""


def is_public(address: Address) -> bool:
    """Return whether an address belongs to one machine of the public internet."""
    if isinstance(address, ipaddress.IPv6Address) and address not in _UNICAST:
        return False
    return not any(address.version == network.version and address in network for network in _SPECIAL)


def may_reach(address: Address) -> bool:
    """Return whether a webhook may be sent to an address: a public one, or one that WEBHOOKS_MAY_REACH names."""
    allowed: Sequence[Network] = settings.WEBHOOKS_MAY_REACH
    return is_public(address) or any(address in network for network in allowed if network.version == address.version)


def is_open_port(port: int) -> bool:
    """Return whether a port is 80, 443 or unprivileged: ports of mail, shells and the like are refused."""
    return port in _WELL_KNOWN_PORTS or LOWEST_FREE_PORT <= port <= 65_535


def resolve(host: str, port: int, *, within_seconds: float = LOOK_UP_SECONDS) -> list[Address]:
    """Return all addresses of a host, from the system's resolver.

    :raises OSError: if there is none, or the resolver does not respond in time
    """
    found = look_up(host, port, within_seconds=within_seconds)
    texts = dict.fromkeys(str(address[0]).partition("%")[0] for *_, address in found)
    return [ipaddress.ip_address(text) for text in texts]


def checked_addresses(host: str, port: int, *, resolver: Resolver) -> list[Address]:
    """Look up a host and return its addresses, all of which may be reached.

    :raises AddressRefused: if one of them may not, or there is none
    """
    try:
        addresses = list(resolver(host, port))
    except (TimeoutError, TooManyLookUps):
        raise AddressRefused("The host could not be looked up in time.") from None
    except (OSError, UnicodeError):
        raise AddressRefused("The host has no address.") from None
    if not addresses:
        raise AddressRefused("The host has no address.")
    if not all(may_reach(address) for address in addresses):
        raise AddressRefused("The host's address is not public.")
    return addresses
