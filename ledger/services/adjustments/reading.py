"""Reading a CSV file of adjustments: each line with what it asks for, or with the reason why it cannot be posted.

The first line names the columns: `customer` (email or id), `amount`, `reason`, `note`, and `reference` if there is one.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from decimal import Decimal

from accounts.emails import canonical_email
from accounts.models import User
from config.values.credits import LARGEST_ID, NotACreditAmount, parse_credits, plain
from config.values.text import INVALID_TEXT, is_invalid_text
from ledger.adjustment_errors import AdjustmentFileRefused
from ledger.models import AdjustmentLine, AdjustmentReason, Balance, LineOutcome

MOST_LINES = 1_000
MOST_BYTES = 1024 * 1024
LONGEST_NOTE, LONGEST_REFERENCE = 1_000, 255
COLUMNS = ("customer", "amount", "reason", "note", "reference")
_REQUIRED = COLUMNS[:4]


@dataclass(frozen=True)
class ReadLine:
    """One line of a file: `refusal` says why it cannot be posted; empty, it can."""

    number: int
    customer: str
    amount_text: str
    reason: str
    note: str
    reference: str
    user: User | None = None
    amount: Decimal | None = None
    before: Decimal | None = None
    refusal: str = ""

    @property
    def after(self) -> Decimal | None:
        return None if self.before is None or self.amount is None else self.before + self.amount

    @property
    def key(self) -> bytes:
        """Return what makes the line one of a kind: the same line is posted once, whatever file it is in."""
        amount = None if self.amount is None else f"{plain(self.amount):f}"
        parts = [str(self.user and self.user.pk), str(amount), self.reason, self.note, self.reference]
        return hashlib.sha256("\0".join(parts).encode()).digest()


def read_adjustments(text: str, *, by: User) -> list[ReadLine]:
    """Read a file that a member of staff uploads, and find what of it cannot be posted.

    :raises AdjustmentFileRefused: if it is no such file, or too long
    """
    lines = [_parsed(each) for each in _lines_of(text)]
    people = _people_named(line.customer for line in lines)
    known = [_with_customer(line, people, by) for line in lines]
    return _with_balances(_without_repetitions(known))


def digest_of(lines: Sequence[ReadLine]) -> bytes:
    """Return the SHA-256 of what the lines ask for, however they are written."""
    return hashlib.sha256(b"".join(line.key for line in lines)).digest()


def _lines_of(text: str) -> list[ReadLine]:
    if is_invalid_text(text):
        raise AdjustmentFileRefused(INVALID_TEXT)
    if len(text.encode()) > MOST_BYTES:
        raise AdjustmentFileRefused("The file is larger than 1 MiB: send it in parts.")
    try:
        rows = list(csv.reader(io.StringIO(text.removeprefix("\ufeff"), newline=""), strict=True))
    except csv.Error as error:
        raise AdjustmentFileRefused(f"The file is no CSV: {error}.") from None
    if not rows:
        raise AdjustmentFileRefused("The file is empty.")
    header = [name.strip().lower() for name in rows[0]]
    _refuse_header(header)
    filled = [(number, row) for number, row in enumerate(rows[1:], start=2) if any(cell.strip() for cell in row)]
    if not filled:
        raise AdjustmentFileRefused("The file has no line below its header.")
    if len(filled) > MOST_LINES:
        raise AdjustmentFileRefused(f"The file has {len(filled):,} lines; at most {MOST_LINES:,} go into one request.")
    return [_read(number, header, row) for number, row in filled]


def _refuse_header(header: list[str]) -> None:
    missing = [name for name in _REQUIRED if name not in header]
    unknown = [name for name in header if name not in COLUMNS]
    if missing or unknown or len(set(header)) < len(header):
        raise AdjustmentFileRefused(
            "The first line names the columns customer, amount, reason, note and, if you like, reference, each once."
        )


def _read(number: int, header: list[str], row: list[str]) -> ReadLine:
    cells = dict(zip(header, (cell.strip() for cell in row), strict=False))
    line = ReadLine(
        number,
        cells.get("customer", ""),
        cells.get("amount", ""),
        cells.get("reason", "").lower(),
        cells.get("note", "").replace("\r\n", "\n").replace("\r", "\n"),
        cells.get("reference", ""),
    )
    if len(row) > len(header) or any(name not in cells for name in _REQUIRED):
        return replace(line, refusal=f"It has {len(row)} cells, and the header has {len(header)}.")
    return line


def _parsed(line: ReadLine) -> ReadLine:
    if line.refusal:
        return line
    try:
        line = replace(line, amount=parse_credits(line.amount_text.removeprefix("+"), allow_negative=True))
    except NotACreditAmount as refusal:
        return replace(line, refusal=str(refusal))
    if line.reason not in AdjustmentReason.values:
        return replace(line, refusal=f"The reason is one of {', '.join(AdjustmentReason.values)}.")
    if not 1 <= len(line.note) <= LONGEST_NOTE:
        return replace(line, refusal=f"A note of 1 to {LONGEST_NOTE:,} characters is required.")
    if len(line.reference) > LONGEST_REFERENCE:
        return replace(line, refusal=f"A reference has at most {LONGEST_REFERENCE} characters.")
    return line


def _people_named(names: Iterable[str]) -> Mapping[str, User]:
    """Find customers by email or id, in two queries."""
    wanted = set(names)
    ids = {name for name in wanted if name.isascii() and name.isdigit() and len(name) < len(str(LARGEST_ID))}
    emails = {name: canonical_email(name).lower() for name in wanted - ids}
    by_email = {person.email.lower(): person for person in User.objects.with_emails(list(emails.values()))}
    by_id = User.objects.in_bulk([int(name) for name in ids])
    found = {name: by_email.get(email) for name, email in emails.items()} | {name: by_id.get(int(name)) for name in ids}
    return {name: person for name, person in found.items() if person is not None}


def _with_customer(line: ReadLine, people: Mapping[str, User], by: User) -> ReadLine:
    person = people.get(line.customer)
    if line.refusal:
        return replace(line, user=person)
    if person is None:
        return replace(line, refusal="There is no customer with this email or id.")
    is_colleague = (person.is_staff or person.is_superuser) and person.pk != by.pk
    refusal = "Only superusers adjust the credits of staff." if is_colleague and not by.is_superuser else ""
    return replace(line, user=person, refusal=refusal)


def _without_repetitions(lines: list[ReadLine]) -> list[ReadLine]:
    keys = [line.key for line in lines if not line.refusal]
    sent = AdjustmentLine.objects.filter(
        line_key__in=keys,
        user__in=[line.user for line in lines if line.user is not None],
        outcome__in=[LineOutcome.WAITING, LineOutcome.POSTED],
    )
    sent_as = {bytes(key): request_id for key, request_id in sent.values_list("line_key", "request_id")}
    first: dict[bytes, int] = {}
    checked = []
    for line in lines:
        refusal = line.refusal
        if not refusal and line.key in first:
            refusal = f"It is the same as line {first[line.key]}."
        elif not refusal and line.key in sent_as:
            refusal = f"The same line was sent before, in request {sent_as[line.key]}: change its note or reference."
        first.setdefault(line.key, line.number)
        checked.append(replace(line, refusal=refusal))
    return checked


def _with_balances(lines: list[ReadLine]) -> list[ReadLine]:
    """Note what each customer has before each line, and refuse what could not be taken now."""
    found = Balance.objects.in_bulk([line.user.pk for line in lines if line.user is not None])
    now = {user_id: balance.balance for user_id, balance in found.items()}
    noted = []
    for line in lines:
        if line.refusal or line.user is None or line.amount is None:
            noted.append(line)
            continue
        user_id, amount = line.user.pk, line.amount
        before = now.get(user_id, Decimal(0))
        refusal = _refusal_by(found.get(user_id), before, amount)
        if not refusal:
            now[user_id] = before + amount
        noted.append(replace(line, before=before, refusal=refusal))
    return noted


def _refusal_by(balance: Balance | None, before: Decimal, amount: Decimal) -> str:
    if amount > 0:
        return ""
    if balance is not None and balance.frozen_at is not None:
        return "The balance is frozen."
    bound, reserved = (balance.overdraft_limit, balance.reserved) if balance is not None else (Decimal(0), Decimal(0))
    available = before - reserved
    return "" if available + bound + amount >= 0 else f"Only {plain(available):f} credit(s) are available."
