"""Importing: a gateway's own log, line by line, each line exactly once however often it is read."""

from __future__ import annotations

import csv
import hashlib
import re
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import NamedTuple

from django.db import IntegrityError, transaction

from accounts.errors import UserNotFound
from accounts.models import ApiKey, User
from accounts.selectors import user_named
from config.http.paths import normal_endpoint
from config.rounds import Round
from usage.services.log_formats import LineParser, LineRejected, ReportedRequest
from usage.services.recording import Line, record_lines

LINES_A_CHUNK = 5_000
_QUOTES = re.compile(rb'\\.|"')  # an escaped one is found as what escapes it
REJECTIONS_KEPT = 20


class Customer(NamedTuple):
    """Whose requests these are, and by which of their keys, when that named them."""

    user_id: int
    api_key_id: int | None = None


@dataclass
class Report:
    """What came of an import; `accepted + duplicates + rejected + failed` is `read`, `unpaid` is part of `accepted`.

    Lines that `failed` are good, but could not be recorded now: the next run of the same file takes them.
    """

    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    credits_charged: Decimal = Decimal(0)
    unpaid: int = 0
    failed: int = 0
    first_rejections: list[tuple[int, str]] = field(default_factory=list)

    def reject(self, number: int, reason: str) -> None:
        self.rejected += 1
        if len(self.first_rejections) < REJECTIONS_KEPT:
            self.first_rejections.append((number, reason))


class Ordinals:
    """Counts, for each line, which of its equals in the file it is; in bounded memory, however long the file.

    SQLite serves as nothing but a hash table that spills to a private temporary file.
    """

    def __init__(self) -> None:
        self._counts = sqlite3.connect("", isolation_level=None)
        self._counts.execute("PRAGMA journal_mode = OFF")
        self._counts.execute("PRAGMA synchronous = OFF")
        self._counts.execute("CREATE TABLE seen (line BLOB PRIMARY KEY, times INTEGER NOT NULL) WITHOUT ROWID")
        self._counts.execute("BEGIN")

    def of(self, digest: bytes) -> int:
        (times,) = self._counts.execute(
            "INSERT INTO seen VALUES (?, 1) ON CONFLICT DO UPDATE SET times = times + 1 RETURNING times", (digest,)
        ).fetchone()
        return int(times)


def line_key(text: bytes, ordinals: Ordinals) -> bytes:
    """Give the key of a line: SHA-256 of its full text and its ordinal among identical lines so far."""
    digest = hashlib.sha256(text).digest()
    return hashlib.sha256(digest + ordinals.of(digest).to_bytes(8, "big")).digest()


class Customers:
    """Finds the customer that a line names, each name once.

    First the operator's own map, then by what the field is; hosts and user names stand for the customers
    that an earlier run made of them, or with `create` for new ones.
    """

    def __init__(self, *, customer_field: str, source: str, create: bool, named: dict[str, str]) -> None:
        self._field = customer_field
        self._source = source
        self._create = create
        self._named = named
        self._known: dict[str, Customer] = {}
        self._unknown: dict[str, str] = {}

    def find(self, value: str) -> Customer:
        """Find (or make) the customer.

        :raises LineRejected: if there is none
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
            return self._by_made_up_email(value)
        except UserNotFound:
            raise LineRejected(f"there is no customer {self._named.get(value, value)!r}") from None

    def _by_prefix(self, value: str) -> Customer:
        key = ApiKey.objects.filter(prefix=value.removeprefix("tb_live_"), user__isnull=False).first()
        if key is None or key.user_id is None:
            raise LineRejected(f"no customer has an API key with the prefix {value!r}")
        return Customer(key.user_id, key.pk)

    def _by_made_up_email(self, value: str) -> Customer:
        email = f"{value}@{self._source}.invalid"
        user = User.objects.with_email(email).first()
        if user is None:
            if not self._create:
                raise LineRejected(f"there is no customer for {self._field} {value!r}")
            if len(email) > 254 or any(character.isspace() for character in value):
                raise LineRejected(f"no customer can be named {value[:80]!r}")
            try:
                # Not a person's registration: an address such as ::1@gateway.invalid is a name, never a mailbox.
                with transaction.atomic():
                    user = User.objects.create_user(email)
            except IntegrityError:  # another import has just made it
                user = User.objects.with_email(email).get()
        return Customer(user.pk)


@dataclass
class Import:
    """One run over one log: every line is recorded, and with `charge` debited.

    Each chunk of lines is handed on one customer at a time, each such batch all or nothing, so a run that dies
    is simply run again. Each such batch is a turn of `customers_served`: a customer whose turn fails keeps nobody else
    waiting, and the rest of their lines is left to the next run. Rejected lines are named by their place in the file,
    behind `lines_before`, such as a header.
    """

    source: str
    parse: LineParser
    customers: Customers
    charge: bool
    lines_before: int = 0
    report: Report = field(default_factory=Report)
    customers_served: Round = field(default_factory=Round)

    def run(self, lines: Iterable[bytes]) -> Report:
        """Record the lines; repetition adds nothing."""
        ordinals = Ordinals()
        for chunk in _chunks(lines):
            for user_id, batch in self._by_customer(chunk, ordinals).items():
                self._record(user_id, batch)
        return self.report

    def rehearse(self, lines: Iterable[bytes]) -> Report:
        """Do all of it in one transaction, and take it back."""
        with transaction.atomic():
            self.run(lines)
            transaction.set_rollback(True)
        return self.report

    def _by_customer(self, chunk: list[bytes], ordinals: Ordinals) -> dict[int, list[tuple[int, Line]]]:
        batches: dict[int, list[tuple[int, Line]]] = defaultdict(list)
        for line in chunk:
            text = line.rstrip(b"\r\n")
            self.report.read += 1
            number = self.lines_before + self.report.read
            key = line_key(text, ordinals)
            try:
                request = self._parsed(text, is_ended=text != line)
                customer = self.customers.find(request.customer)
            except LineRejected as reason:
                self.report.reject(number, str(reason))
                continue
            batches[customer.user_id].append((number, Line(key, request, customer.api_key_id)))
        return batches

    def _parsed(self, text: bytes, *, is_ended: bool) -> ReportedRequest:
        if not text.strip():
            raise LineRejected("it is empty")
        if not is_ended and _QUOTES.findall(text).count(b'"') % 2:
            # Once the file has grown it will be another text, and would count again.
            raise LineRejected("the file ends within one of its quoted fields: it is still being written")
        return self.parse(text.decode("utf-8", errors="replace"))

    def _record(self, user_id: int, batch: list[tuple[int, Line]]) -> None:
        lines = [line for _, line in batch]
        done = None
        if user_id not in self.customers_served.failed:
            with self.customers_served.turn(user_id):
                done = record_lines(user_id=user_id, source=self.source, lines=lines, charge=self.charge)
        if done is None:
            self.report.failed += len(batch)
            return
        self.report.accepted += done.accepted
        self.report.duplicates += done.duplicates
        self.report.unpaid += done.unpaid
        self.report.credits_charged += done.credits
        for place in done.rejected:
            number, line = batch[place]
            self.report.reject(number, f"no price names the endpoint {normal_endpoint(line.request.path)[:200]!r}")


def _chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == LINES_A_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk


def read_customer_map(path: Path) -> dict[str, str]:
    """Read a CSV of two columns: the value in the log, and the customer's email or id.

    :raises ValueError: naming the line that has not two values
    """
    named: dict[str, str] = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        for number, row in enumerate(csv.reader(file), start=1):
            if not row:
                continue
            if len(row) != 2 or not all(cell.strip() for cell in row):
                raise ValueError(f"Line {number} of {path} is not VALUE,CUSTOMER.")
            named[row[0].strip()] = row[1].strip()
    return named
