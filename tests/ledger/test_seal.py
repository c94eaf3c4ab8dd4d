"""The seal, computed again without the database: README and decision records promise this form."""

import datetime as dt
import hashlib
import json
from decimal import Decimal

import pytest
from django.db import connection

from ledger.models import Balance, Entry
from tests.factories import customer_with
from tests.ledger.posting import post
from tests.ledger.tampering import tamper
from usage.services.reconciliation import Scope, reconcile

TRICKY_TEXTS = [
    "",
    "plain",
    'quote " backslash \\ slash /',
    "tab\tline\nreturn\r\b\f",
    "\x01\x1f\x7f",
    "ß € 漢字 🜚 \u2028",
]


def jsonb_text(value):
    """Write a value as jsonb prints it: keys by length in bytes, then bytewise."""
    if isinstance(value, dict):
        keys = sorted(value, key=lambda key: (len(key.encode()), key.encode()))
        return "{" + ", ".join(f"{jsonb_text(key)}: {jsonb_text(value[key])}" for key in keys) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(jsonb_text, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def seal_of(entry, previous):
    """Compute the seal of an entry from the previous one, with nothing but a hash function."""
    fields = [
        entry.user_id,
        entry.seq,
        entry.type,
        entry.reason,
        f"{entry.amount:.6f}",
        f"{entry.balance_after:.6f}",
        entry.description,
        entry.reference,
        entry.metadata,
        entry.operation,
        entry.idempotency_key,
        bytes(entry.fingerprint).hex(),
        entry.reverses_id,
        entry.actor_id,
        entry.created_at.astimezone(dt.UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
    ]
    return hashlib.sha256(previous + jsonb_text(fields).encode()).digest()


@pytest.mark.django_db
def test_seals_can_be_computed_again_without_the_database(alice, clerk):
    for text in TRICKY_TEXTS:
        post(
            alice,
            Decimal("-0.5"),
            description=text,
            reference=text,
            metadata={text: [text, {"z": 1, "ä": None, "aa": True}, 10**20], "Z": "", "b": {"": -1}},
            actor_id=clerk.pk,
        )

    previous = b""
    for entry in Entry.objects.of(alice.pk).order_by("seq"):
        previous = seal_of(entry, previous)
        assert bytes(entry.seal) == previous
    assert bytes(Balance.objects.get(user=alice).seal) == previous


@pytest.mark.django_db
def test_seals_do_not_depend_on_the_sessions_time_zone(alice):
    entry = Entry.objects.of(alice.pk).get()

    with connection.cursor() as cursor:
        cursor.execute("SET LOCAL TimeZone = 'Asia/Kathmandu'; SET LOCAL DateStyle = 'German'")
        cursor.execute(
            "SELECT ledger_seal('', user_id, seq, type, reason, amount, balance_after, description, reference,"
            " metadata, operation, idempotency_key, fingerprint, reverses_id, actor_id, created_at)"
            " FROM ledger_entry WHERE id = %s",
            [entry.pk],
        )
        (seal,) = cursor.fetchone()

    assert bytes(seal) == bytes(entry.seal)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "change",
    [
        "reason = 'correction'",
        "type = 'credit', reason = 'grant'",
        "amount = 6, balance_after = 106",
        "description = 'altered'",
        "reference = 'altered'",
        "reference = NULL",
        "metadata = '{}'",
        "metadata = jsonb_set(metadata, '{deep,0}', '2')",
        "operation = 'altered'",
        "idempotency_key = 'altered'",
        "fingerprint = '\\x00'",
        "reverses_id = 1",
        "actor_id = NULL",
        "created_at = created_at + interval '1 microsecond'",
        "seal = sha256('altered')",
    ],
)
def test_any_altered_field_of_an_entry_breaks_its_seal(change):
    user = customer_with(100)
    altered = post(user, 5, reference="r", metadata={"deep": [1]}, actor_id=user.pk).entry
    post(user, 1)
    assert reconcile(Scope())[1] == []

    tamper(f"UPDATE ledger_entry SET {change} WHERE id = %s", altered.pk)

    findings = reconcile(Scope())[1]
    assert altered.pk in [finding.facts["entry_id"] for finding in findings if finding.check == "seal_fits_entry"]


@pytest.mark.django_db(transaction=True)
def test_sealing_an_altered_entry_anew_breaks_the_next_seal():
    user = customer_with(100)
    altered = post(user, 5, description="true").entry
    following = post(user, 1).entry
    altered.description = "false"
    first = Entry.objects.get(seq=1)

    tamper(
        "UPDATE ledger_entry SET description = 'false', seal = %s WHERE id = %s",
        seal_of(altered, bytes(first.seal)),
        altered.pk,
    )

    assert [(f.check, f.facts["entry_id"]) for f in reconcile(Scope())[1]] == [("seal_fits_entry", following.pk)]


@pytest.mark.django_db(transaction=True)
def test_an_entry_slipped_in_at_the_end_does_not_fit_the_balance():
    user = customer_with(100)
    last = post(user, 1).entry
    last.pk, last.seq, last.amount, last.balance_after = None, 3, Decimal(1), Decimal(102)
    last.idempotency_key = "forged"

    tamper(
        "INSERT INTO ledger_entry (user_id, seq, type, reason, amount, balance_after, description, operation,"
        " idempotency_key, fingerprint, created_at, seal)"
        " VALUES (%s, 3, 'adjustment', 'goodwill', 1, 102, %s, %s, 'forged', %s, %s, %s)",
        user.pk,
        last.description,
        last.operation,
        bytes(last.fingerprint),
        last.created_at,
        seal_of(last, bytes(last.seal)),
    )

    assert "balance_is_last_entry" in [finding.check for finding in reconcile(Scope())[1]]
