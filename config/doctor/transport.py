"""Checks of the connections to the database: whether others can read them."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any, NamedTuple

from django import db
from django.db import connection, connections

from config.doctor.finding import Finding

_DEMANDED = {"require", "verify-ca", "verify-full"}


class Link(NamedTuple):
    """One login's connection: its host, its address, whether it is encrypted, and its sslmode."""

    variable: str
    host: str
    address: str
    is_encrypted: bool
    sslmode: str

    @classmethod
    def of(cls, variable: str, opened: Any) -> Link:
        """Return the facts about an open connection of psycopg."""
        sslmode = opened.info.get_parameters().get("sslmode", "")
        return cls(variable, opened.info.host, opened.info.hostaddr, opened.pgconn.ssl_in_use, sslmode)

    @property
    def is_on_this_machine(self) -> bool:
        """Return whether it stays on this machine: Unix sockets and loopback addresses do."""
        if self.host.startswith(("/", "@")):
            return True
        return bool(self.address) and ipaddress.ip_address(self.address.partition("%")[0]).is_loopback

    def findings(self) -> Iterator[Finding]:
        if self.is_on_this_machine:
            return
        what_to_do = f"add sslmode=verify-full and sslrootcert to {self.variable}"
        if not self.is_encrypted:
            detail = f"passwords and data go to {self.host} over a network in clear: {what_to_do}."
            yield Finding("transport", f"{self.variable} connects without TLS, {detail}")
        elif self.sslmode not in _DEMANDED:
            detail = f"so a machine in between may switch it off: {what_to_do}."
            yield Finding("transport", f"{self.variable} does not demand the TLS it has with {self.host}, {detail}")


def transport() -> Iterator[Finding]:
    """Check that no connection crosses a network unencrypted."""
    connection.ensure_connection()
    yield from Link.of("DATABASE_URL", connection.connection).findings()
    # "logins" reports an owner that cannot sign in.
    with suppress(db.Error), closing(connections.create_connection("owner")) as owner:
        owner.ensure_connection()
        yield from Link.of("DATABASE_OWNER_URL", owner.connection).findings()
