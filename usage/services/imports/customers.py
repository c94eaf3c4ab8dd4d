"""Customers of logs: find the customer that a host, user name, key or email in a line stands for."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import NamedTuple

from django.db import IntegrityError, transaction

from accounts.errors import UserNotFound
from accounts.models import ApiKey, User
from accounts.selectors import user_named
from config.values.addresses import read_address
from usage.models import ImportedCustomer
from usage.services.imports.reported import LineRejected

_LONGEST_EMAIL = 254


class CustomerMapRefused(ValueError):
    """An operator's map of customers is invalid or ambiguous; the message says where."""


class Customer(NamedTuple):
    """The customer of a line, and the key that named them, if one did."""

    user_id: int
    api_key_id: int | None = None


class Customers:
    """Finds the customer that a line names, each name once.

    It looks in the operator's map first, then by the kind of the field; hosts and user names stand for the customers
    that an earlier run created for them, or with `create` for new ones.
    """

    def __init__(self, *, customer_field: str, source: str, create: bool, named: dict[str, str]) -> None:
        self._field = customer_field
        self._source = source
        self._create = create
        self._named = self._in_one_spelling(named) | named
        self._known: dict[str, Customer] = {}
        self._unknown: dict[str, str] = {}

    def _in_one_spelling(self, named: dict[str, str]) -> dict[str, str]:
        """Map each spelling of a name to its customer.

        :raises CustomerMapRefused: if two spellings of one name are mapped to two customers
        """
        found: dict[str, str] = {}
        for value, customer in named.items():
            if found.setdefault(self._one_spelling(value), customer) != customer:
                raise CustomerMapRefused(f"The map names two customers for {value!r}, which it spells in two ways.")
        return found

    def find(self, value: str) -> Customer:
        """Find (or create) the customer.

        :raises LineRejected: if the value names no customer
        """
        if value in self._unknown:
            raise LineRejected(self._unknown[value])
        if value not in self._known:
            try:
                self._known[value] = self._look_up(value)
            except LineRejected as reason:
                self._unknown[value] = str(reason)
                raise
        return self._known[value]

    def _look_up(self, value: str) -> Customer:
        value = value if value in self._named else self._one_spelling(value)
        try:
            if value in self._named:
                return Customer(user_named(self._named[value]).pk)
            match self._field:
                case "api_key_prefix":
                    return self._by_prefix(value)
                case "user_id" | "email":
                    if (self._field == "email") != ("@" in value):
                        raise LineRejected(f"{value!r} is no {self._field}")
                    return Customer(user_named(value).pk)
            return self._by_row(value)
        except UserNotFound:
            raise LineRejected(f"there is no customer {self._named.get(value, value)!r}") from None

    def _one_spelling(self, value: str) -> str:
        """Return a host or a user name in the spelling that is stored; other values unchanged."""
        if self._field == "host":
            return host_in_one_spelling(value)
        return value.strip().lower() if self._field == "user" else value

    def _by_prefix(self, value: str) -> Customer:
        key = ApiKey.objects.filter(prefix=value.removeprefix("tb_live_"), user__isnull=False).first()
        if key is None or key.user_id is None:
            raise LineRejected(f"no customer has an API key with the prefix {value!r}")
        return Customer(key.user_id, key.pk)

    def _by_row(self, value: str) -> Customer:
        row = ImportedCustomer.objects.filter(source=self._source, value=value).first()
        return Customer(row.user_id if row is not None else self._entered(value).pk)

    def _entered(self, value: str) -> User:
        """Store this name for the customer whom an operator created for it, or for a new one."""
        email = f"{value}@{self._source}.invalid"
        user = User.objects.with_email(email).first()
        if user is None and not self._create:
            raise LineRejected(f"there is no customer for {self._field} {value!r}")
        is_name = value.isprintable() and not any(each.isspace() or each == "," for each in value)
        if not is_name or len(email) > _LONGEST_EMAIL:
            raise LineRejected(f"no customer can be named {value[:80]!r}")
        if user is None:
            try:
                with transaction.atomic():
                    # Not registered by a person: an address such as ::1@gateway.invalid is a name, never a mailbox.
                    user = User.objects.create_user(email)
            except IntegrityError:  # an operator has just created them
                user = User.objects.with_email(email).get()
        row, _ = ImportedCustomer.objects.get_or_create(source=self._source, value=value, defaults={"user": user})
        return row.user


def host_in_one_spelling(host: str) -> str:
    """Return an address in canonical form, without port or zone, and a host name in lower case.

    `::ffff:203.0.113.7`, `203.0.113.7:51234` and `203.0.113.7` are one client, and so are all spellings of one IPv6
    address (RFC 5952).
    """
    host = host.strip()
    address = read_address(host)
    return str(address) if address is not None else host.lower().rstrip(".") or host


def read_customer_map(path: Path) -> dict[str, str]:
    """Read a CSV of two columns: the value in the log, and the customer's email or id.

    Commas, semicolons or tabs separate them, as spreadsheets save them.

    :raises CustomerMapRefused: naming the line that does not have two values, or maps a value to a second customer
    """
    named: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        try:
            lines = file.read().splitlines()
        except UnicodeDecodeError:
            raise CustomerMapRefused(f"{path} is not UTF-8: save it so.") from None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        rows = (next(csv.reader([line], delimiter=each), []) for each in ",;\t")
        row = next((row for row in rows if len(row) == 2 and all(cell.strip() for cell in row)), None)
        if row is None:
            raise CustomerMapRefused(f"Line {number} of {path} is not VALUE,CUSTOMER.")
        value, customer = row[0].strip(), row[1].strip()
        if named.setdefault(value, customer) != customer:
            raise CustomerMapRefused(
                f"Line {number} of {path} names another customer for {value!r} than a line before it."
            )
    return named
