"""Import a gateway's own log, each line exactly once however often it is read."""

from __future__ import annotations

import hashlib
import sqlite3
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal

from django.db import transaction

from config.rounds import Round
from config.values.paths import normal_endpoint
from usage.services.imports.customers import Customers
from usage.services.imports.files import LONGEST_LINE
from usage.services.imports.recording import Line, record_lines
from usage.services.imports.reported import LineParser, LineRejected, ReportedRequest

LINES_A_CHUNK = 5_000
REJECTIONS_KEPT = 20


@dataclass
class Report:
    """The result of an import; `accepted + duplicates + rejected + failed` is `read`, `unpaid` is part of `accepted`.

    `unreadable` is part of `rejected`: lines that are not requests at all. `incomplete` is not part of `read`: a last
    line without a line break, left for a later run. `uncharged` is part of `duplicates`: lines that an earlier run
    recorded without charging them, though they have a price; `uncharged_credits` is what they would have cost.
    Lines that `failed` are valid, but could not be recorded now: the next run of the same file records them.
    """

    read: int = 0
    accepted: int = 0
    duplicates: int = 0
    rejected: int = 0
    credits_charged: Decimal = Decimal(0)
    unpaid: int = 0
    failed: int = 0
    unreadable: int = 0
    incomplete: int = 0
    uncharged: int = 0
    uncharged_credits: Decimal = Decimal(0)
    first_rejections: list[tuple[int, str]] = field(default_factory=list)

    def reject(self, number: int, reason: str) -> None:
        self.rejected += 1
        if len(self.first_rejections) < REJECTIONS_KEPT:
            self.first_rejections.append((number, reason))


class Ordinals:
    """Counts the ordinal of each line among identical lines, in bounded memory, however long the file.

    SQLite serves only as a hash table that spills to a private temporary file.
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
    """Return the key of a line: SHA-256 of its full text and its ordinal among identical lines so far."""
    digest = hashlib.sha256(text).digest()
    return hashlib.sha256(digest + ordinals.of(digest).to_bytes(8, "big")).digest()


@dataclass
class Import:
    """One run over one log: every line is recorded, and with `charge` debited.

    Each chunk of lines is recorded one customer at a time, each such batch all or nothing, so a run that is killed
    can be run again. Each such batch is a turn of `customers_served`: a customer whose turn fails does not delay the
    others, and the rest of their lines is left to the next run. Rejected lines are named by their place in the file,
    after `lines_before`, such as a header.

    A last line without a line break may still be being written: its text would change once it is whole, and count
    again. It is left for a later run, unless `is_complete` says that the log is no longer written, or, with
    `proves_its_end`, a line that can be read is whole (JSON).
    """

    source: str
    parse: LineParser
    customers: Customers
    charge: bool
    lines_before: int = 0
    is_complete: bool = False
    proves_its_end: bool = False
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
        """Do the whole run in one transaction, and roll it back."""
        with transaction.atomic():
            self.run(lines)
            transaction.set_rollback(True)
        return self.report

    def _by_customer(self, chunk: list[bytes], ordinals: Ordinals) -> dict[int, list[tuple[int, Line]]]:
        batches: dict[int, list[tuple[int, Line]]] = defaultdict(list)
        for line in chunk:
            text = line.rstrip(b"\r\n")
            if not line.endswith(b"\n") and self._is_in_the_making(text):
                self.report.incomplete += 1
                continue
            self.report.read += 1
            number = self.lines_before + self.report.read
            key = line_key(text, ordinals)
            try:
                request = self._parsed(text)
            except LineRejected as reason:
                self.report.unreadable += 1
                self.report.reject(number, str(reason))
                continue
            try:
                customer = self.customers.find(request.customer)
            except LineRejected as reason:
                self.report.reject(number, str(reason))
                continue
            batches[customer.user_id].append((number, Line(key, request, customer.api_key_id)))
        return batches

    def _is_in_the_making(self, text: bytes) -> bool:
        if self.is_complete:
            return False
        if self.proves_its_end:
            try:
                self._parsed(text)
            except LineRejected:
                return True
            return False
        return True

    def _parsed(self, text: bytes) -> ReportedRequest:
        if not text.strip():
            raise LineRejected("it is empty")
        if len(text) >= LONGEST_LINE - 1:
            raise LineRejected("it is longer than 1 MiB")
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
        self.report.uncharged += done.uncharged
        self.report.uncharged_credits += done.uncharged_credits
        for place in done.rejected:
            number, line = batch[place]
            endpoint = normal_endpoint(line.request.path)[:200]
            self.report.reject(number, f"no price names the endpoint {endpoint!r}")


def _chunks(lines: Iterable[bytes]) -> Iterator[list[bytes]]:
    chunk: list[bytes] = []
    for line in lines:
        chunk.append(line)
        if len(chunk) == LINES_A_CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
