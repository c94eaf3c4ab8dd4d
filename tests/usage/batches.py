"""The same charges one after the other and in batches, and the rows that either leaves."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

from django.db import connection

from accounts.models import ApiKey, User
from ledger.models import Balance, Entry, OperationKey
from usage.models import KeySpending, RequestLog
from usage.services.charges.calls import AskedCharge, charge_one, charge_together

# Ids and times differ from run to run; nothing else may.
_OUTCOME = ("outcome", "credits", "balance_after", "reserved", "available", "reason", "request_id")


def asked(endpoint: str = "search", *, user: User | None = None, key: ApiKey | None = None, **fields: Any) -> Any:
    """Return a charge to ask for, under a new key unless one is passed."""
    named = {"user_id": user.pk if user else None, "key_hash": bytes(key.key_hash) if key else None}
    idempotency_key = fields.pop("idempotency_key", None) or uuid.uuid4().hex
    return AskedCharge(endpoint=endpoint, idempotency_key=idempotency_key, **named | fields).with_fingerprint()


def of(many: Sequence[AskedCharge], *, user: User | None = None, key: ApiKey | None = None) -> list[AskedCharge]:
    """Return the same charges for another customer."""
    named = {"user_id": user.pk if user else None, "key_hash": bytes(key.key_hash) if key else None}
    return [one._replace(**named) for one in many]


def one_by_one(many: Sequence[AskedCharge]) -> list[Any]:
    return [charge_one(one) for one in many]


def in_batches(many: Sequence[AskedCharge]) -> list[Any]:
    """Charge in as few batches as possible: a repeated key starts the next one."""
    batches: list[list[AskedCharge]] = [[]]
    for one in many:
        if any(one.idempotency_key == other.idempotency_key for other in batches[-1]):
            batches.append([])
        batches[-1].append(one)
    return [row for batch in batches if batch for row in charge_together(batch)]


def comparable(rows: Sequence[Any], user: User) -> list[Any]:
    """Return a result without ids, except whether they are present and whose they are."""
    return [
        (
            *(getattr(row, name) for name in _OUTCOME),
            row.charge_id is not None,
            row.entry_id is not None,
            row.user_id == user.pk,
            row.charge_id == row.entry_id,
        )
        for row in rows
    ]


def books_of(user: User) -> dict[str, Any]:
    """Return all stored rows of a customer's charges, without ids and times."""
    entries = list(Entry.objects.of(user.pk).filter(reason="usage").order_by("seq"))
    logs = list(RequestLog.objects.filter(user=user).order_by("occurred_at", "id"))
    places = {entry.pk: entry.seq for entry in entries}
    for entry in entries:
        assert entry.metadata.pop("charge_id") == entry.pk
    return {
        "balance": _all(Balance.objects.filter(pk=user.pk), "balance", "reserved", "granted_total", "seq"),
        "entries": [
            (entry.seq, entry.type, entry.reason, entry.amount, entry.balance_after, entry.description,
             entry.reference, entry.metadata, entry.operation, entry.idempotency_key, bytes(entry.fingerprint))
            for entry in entries
        ],
        "log": [
            (log.endpoint, log.path, log.method, log.status, log.units, log.credits, log.unpaid, log.price_id,
             log.latency_ms, log.request_id, log.reference, log.metadata, log.source, log.api_key_id is not None,
             places.get(log.entry_id), log.entry_id in {None, log.pk})
            for log in logs
        ],
        "free": [
            (key.operation, key.idempotency_key, bytes(key.fingerprint), key.result,
             any(key.subject_id == log.pk for log in logs))
            for key in OperationKey.objects.filter(user=user).order_by("idempotency_key")
        ],
        "sums": _sums(user),
        "spent by keys": _all(KeySpending.objects.filter(user_id=user.pk), "began_on", "credits"),
    }  # fmt: skip


def _all(rows: Any, *names: str) -> list[Any]:
    return list(rows.values_list(*names))


def _sums(user: User) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT endpoint, successful, failed, rejected, credits FROM usage_dailyusage"
            " WHERE user_id = %s ORDER BY day, endpoint",
            [user.pk],
        )
        return cursor.fetchall()
