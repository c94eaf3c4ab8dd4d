"""Anchors: where all ledgers ended, signed outside of the database, and compared again later.

A seal proves that an entry is what it was when it was made, and follows the previous one. It cannot prove that nothing
came after it: a ledger whose end is cut off, or written and sealed anew, is a whole ledger. So each full `reconcile`
notes where every ledger ends, under an HMAC (RFC 2104) of a key that the database does not have, and looks for the ends
that the previous anchor noted (docs/decisions/0046).
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.db import connection, transaction

from config.db.calls import call
from ledger.models import Anchor
from ledger.services.reconciliation.checks import FINDINGS_A_CHECK, Finding

AT_ONCE = 5_000
"""How many places are in memory at a time."""

SIGNED, KNOWN_KEY, DIGEST = "anchor_is_as_signed", "anchor_key_is_known", "digest_holds"
IN_THE_CHAIN = "anchored_entry_is_in_the_ledger"


class _Place(NamedTuple):
    """Where one customer's ledger ended, the present seal of that entry (None: there is none), and the present end."""

    user_id: int
    seq: int
    seal: bytes
    found: bytes | None
    last_seq: int | None


# LIMIT: each ledger is asked for one place, and none is read as a whole.
_PLACES = """
    SELECT p.user_id, p.seq, p.seal, entry.seal, b.seq
    FROM ledger_anchorplace p
    LEFT JOIN LATERAL (
        SELECT e.seal FROM ledger_entry e WHERE e.user_id = p.user_id AND e.seq = p.seq LIMIT 1
    ) entry ON true
    LEFT JOIN ledger_balance b ON b.user_id = p.user_id
    WHERE p.anchor_id = %s AND p.user_id > %s ORDER BY p.user_id LIMIT %s
"""


@dataclass(frozen=True)
class Checked:
    """The result of checking the places that an anchor named."""

    anchor: Anchor | None  # None: there is no such anchor
    findings: list[Finding] = field(default_factory=list)
    digest: bytes = b""  # of the entries that are now at these places
    noted: tuple[bytes, int] = (b"", 0)  # digest and number of the places themselves

    @property
    def kept(self) -> list[int]:
        """Return the customers whose ledgers have lost their ends: the next anchor repeats the old ones."""
        return [finding.user_id for finding in self.findings if finding.user_id is not None]

    @property
    def is_trusted(self) -> bool:
        """Return whether the anchor itself is what was signed, and all findings fit into a report."""
        return all(each.user_id is not None for each in self.findings) and len(self.findings) < FINDINGS_A_CHECK


def check_anchor() -> Checked:
    """Compare the newest anchor with the ledgers; before there is one, nothing is found. Changes nothing.

    Findings: the anchor is not what was signed, or by no key of ANCHOR_KEYS; an end that it names is gone, or another.
    """
    anchor = Anchor.objects.order_by("-id").first()
    if anchor is None:
        return Checked(None)
    key = next((key for key in settings.ANCHOR_KEYS if key_id(key) == anchor.key_id), None)
    if key is None:
        detail = f"Anchor {anchor.pk} was signed by a key, {anchor.key_id}, that ANCHOR_KEYS does not name."
        return Checked(anchor, [Finding(KNOWN_KEY, None, detail, {"anchor": anchor.pk})])
    checked = _compare(anchor)
    signature = _signature(
        key, anchor_id=anchor.pk, taken_at=anchor.taken_at, customers=anchor.customers, digest=bytes(anchor.digest)
    )
    is_whole = checked.noted == (bytes(anchor.digest), anchor.customers)
    if not (is_whole and hmac.compare_digest(signature, bytes(anchor.signature))):
        detail = f"Anchor {anchor.pk} is not what was signed: it, or a place that it named, was altered or removed."
        return Checked(anchor, [Finding(SIGNED, None, detail, {"anchor": anchor.pk}), *checked.findings])
    return checked


@transaction.atomic
def take_anchor(*, kept: Collection[int] = ()) -> Anchor:
    """Note where every ledger ends now, and sign it. Only the newest thirty anchors stay.

    Customers of `kept` keep the end that the previous anchor named, so that what is missing of theirs stays missing.

    :raises ImproperlyConfigured: if there is no key to sign with
    """
    if not settings.ANCHOR_KEYS:
        raise ImproperlyConfigured("ANCHOR_KEYS is not set: there is no key to sign an anchor with.")
    key = settings.ANCHOR_KEYS[0]
    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL statement_timeout = 0")
    begun = call("ledger_begin_anchor", p_kept=list(kept))
    digest, customers = _digest(_places(begun.anchor_id))
    named = {"anchor_id": begun.anchor_id, "taken_at": begun.taken_at, "customers": customers, "digest": digest}
    signature = _signature(key, **named)
    call(
        "ledger_sign_anchor",
        **{f"p_{name}": value for name, value in named.items()},
        p_key_id=key_id(key),
        p_signature=signature,
    )
    return Anchor.objects.get(pk=begun.anchor_id)


def expect(digest_text: str) -> Checked:
    """Compare the ledgers with a digest that was stored outside; neither key nor signature is needed.

    It is computed anew from the entries that are now at the anchor's places: with an entry, its seal, a place or a
    customer changed it cannot be the same. Finds nothing while it is.

    :raises ValueError: if this text is no digest of an anchor
    """
    number, _, wanted = digest_text.partition(":")
    if not (number.isascii() and number.isdigit() and len(number) < 19 and len(wanted) == 64):
        raise ValueError("A digest looks like 12:0a1b…, as manage.py anchor prints it.")
    anchor = Anchor.objects.filter(pk=int(number)).first()
    if anchor is None:
        detail = f"Anchor {number} is not there: only the newest thirty are kept, or it was removed."
        return Checked(None, [Finding(DIGEST, None, detail, {"anchor": int(number)})])
    checked = _compare(anchor)
    if hmac.compare_digest(checked.digest.hex(), wanted.lower()):
        return checked
    detail = f"The ledgers are not what they were at {anchor.taken_at:%Y-%m-%d %H:%M} UTC, when the digest was taken."
    return Checked(anchor, [Finding(DIGEST, None, detail, {"anchor": anchor.pk}), *checked.findings])


def digest_text(anchor: Anchor) -> str:
    """Return an anchor's digest as text, to be stored outside and passed to `expect`."""
    return f"{anchor.pk}:{bytes(anchor.digest).hex()}"


def key_id(key: str) -> str:
    """Return an id of a key that does not reveal it."""
    return hashlib.sha256(b"tollbook anchor key\0" + key.encode()).hexdigest()[:16]


def _compare(anchor: Anchor) -> Checked:
    """Look for each end in its ledger."""
    findings: list[Finding] = []
    taken = f"{anchor.taken_at:%Y-%m-%d %H:%M} UTC"
    summed, noted, count = hashlib.sha256(), hashlib.sha256(), 0
    for place in _places(anchor.pk):
        summed.update(_line(place.user_id, place.seq, place.found or b""))
        noted.update(_line(place.user_id, place.seq, place.seal))
        count += 1
        if place.found == place.seal or len(findings) >= FINDINGS_A_CHECK:
            continue
        facts = {"anchor": anchor.pk, "seq": place.seq, "last_seq": place.last_seq}
        wrong = (
            f"but it ends at place {place.last_seq or 0} now: entries were removed"
            if place.found is None
            else "but that entry was written or sealed anew since"
        )
        detail = f"At {taken} the ledger had an entry at place {place.seq}, {wrong}."
        findings.append(Finding(IN_THE_CHAIN, place.user_id, detail, facts))
    return Checked(anchor, findings, summed.digest(), (noted.digest(), count))


def _digest(places: Iterator[_Place]) -> tuple[bytes, int]:
    """Return the digest and the number of the places, as they were noted."""
    summed, count = hashlib.sha256(), 0
    for place in places:
        summed.update(_line(place.user_id, place.seq, place.seal))
        count += 1
    return summed.digest(), count


def _line(user_id: int, seq: int, seal: bytes) -> bytes:
    return f"{user_id}:{seq}:{seal.hex()}\n".encode()


def _places(anchor_id: int) -> Iterator[_Place]:
    """Yield an anchor's places in the order of the customers, a few thousand at a time."""
    last = 0
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_PLACES, [anchor_id, last, AT_ONCE])
            rows = cursor.fetchall()
        for user_id, seq, seal, found, last_seq in rows:
            yield _Place(user_id, seq, bytes(seal), None if found is None else bytes(found), last_seq)
        if len(rows) < AT_ONCE:
            return
        last = rows[-1][0]


def _signature(key: str, *, anchor_id: int, taken_at: dt.datetime, customers: int, digest: bytes) -> bytes:
    signed = f"tollbook anchor 1\n{anchor_id}\n{taken_at.astimezone(dt.UTC).isoformat()}\n{customers}\n{digest.hex()}\n"
    return hmac.digest(key.encode(), signed.encode(), "sha256")
