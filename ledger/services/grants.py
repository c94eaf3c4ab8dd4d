"""Grants: credits with their own grant terms, and their settlement."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from dataclasses import asdict, dataclass
from decimal import Decimal
from functools import wraps
from typing import Any, TypeVar

from django.db import Error, connection
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now
from psycopg.types.json import Jsonb

from accounts.models import Subscription
from accounts.models.plan import LIVE_STATUSES
from config.db.calls import call
from config.db.prepared import sqlstate
from ledger.models import Balance, EntryReason, EntryType, Grant, GrantCategory
from ledger.services.calls import ledger_call
from ledger.services.entries import Posted, post_entry, posted_of
from ledger.services.idempotency import fingerprint

ENTRIES_AT_ONCE = 1_500
"""How many entries other than debits are settled in one transaction: a charge of that customer waits some hundredths of
a second. Debits between them are settled by their sum, however many they are."""


HISTORY_IS_LONG = "TB001"
"""SQLSTATE of calls that would have to settle more than is allowed in one transaction."""

Returned = TypeVar("Returned")


@dataclass(frozen=True)
class GrantTerms:
    """The terms of a grant; None is the default.

    Defaults: promotional for a grant and paid for a purchase, the middle priority, effective at once, never expiring.
    """

    category: GrantCategory | None = None
    priority: int | None = None
    effective_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None


USUAL_TERMS = GrantTerms()


def open_grant(
    *,
    user_id: int,
    amount: Decimal,
    reason: EntryReason,
    description: str,
    operation: str,
    idempotency_key: str,
    terms: GrantTerms,
    reference: str | None = None,
) -> Posted:
    """Post a credit that is a grant with its own grant terms; `amount` is positive credits.

    What is left of it at `terms.expires_at` expires at that time, whether or not a job runs then. Repeating the call
    with its key returns the entry of the first call, also after the grant has expired.

    :raises GrantUntimely: if it would begin later than now, or expire before
    :raises IdempotencyKeyReused, BalanceLimitExceeded, UnknownCustomer: as `post_entry`
    """
    asked = {
        "reason": reason,
        "amount": amount,
        "description": description,
        "reference": reference,
        "terms": {name: _comparable(value) for name, value in asdict(terms).items()},
    }
    outcome = ledger_call(
        "ledger_open_grant",
        p_user_id=user_id,
        p_reason=reason,
        p_amount=amount,
        p_description=description,
        p_reference=reference,
        p_metadata=Jsonb({}),
        p_operation=operation,
        p_idempotency_key=idempotency_key,
        p_fingerprint=fingerprint(asked),
        p_category=terms.category,
        p_priority=terms.priority,
        p_effective_at=terms.effective_at,
        p_expires_at=terms.expires_at,
    )
    return posted_of(outcome, amount=amount)


def grant_credits(
    *,
    user_id: int,
    amount: Decimal,
    reason: EntryReason,
    reference: str | None,
    idempotency_key: str,
    terms: GrantTerms = USUAL_TERMS,
) -> Posted:
    """Grant a customer credits, bought (`purchase`) or not (`grant`); `amount` is positive credits.

    `terms` say when they expire and which grants are spent before them. Repeating the call with its key returns the
    entry of the first call.

    :raises GrantUntimely: if they would begin later than now, or expire before
    :raises IdempotencyKeyReused, BalanceLimitExceeded, UnknownCustomer: as `post_entry`
    """
    description = "Credits purchased" if reason == EntryReason.PURCHASE else "Credits granted"
    if terms != USUAL_TERMS:
        return open_grant(
            user_id=user_id,
            amount=amount,
            reason=reason,
            description=description,
            reference=reference,
            operation="grant_credits",
            idempotency_key=idempotency_key,
            terms=terms,
        )
    return post_entry(
        user_id=user_id,
        type=EntryType.CREDIT,
        reason=reason,
        amount=amount,
        description=description,
        reference=reference,
        operation="grant_credits",
        idempotency_key=idempotency_key,
    )


def settle_grants(*, user_id: int) -> int:
    """Settle a customer's grants: which debits drew on which grants, and what expired, so that rows show what is left.

    Return the number of entries made. A long history is settled in batches, each in its own transaction. Repeating it
    does nothing more.
    """
    expiries = 0
    while True:
        settled = call("ledger_settle_grants", p_user_id=user_id, p_most=ENTRIES_AT_ONCE)
        expiries += int(settled.expiries)
        if settled.unsettled == 0:
            return expiries


def settle_first(error: Error) -> None:
    """Settle the long history for which a call was refused, in batches that are committed one by one."""
    settle_grants(user_id=int(error.__cause__.diag.message_detail))  # type: ignore[union-attr]


def after_settling(service: Callable[..., Returned]) -> Callable[..., Returned]:
    """Retry a service of one transaction after the long history of its customer is settled."""

    @wraps(service)
    def settled(**asked: Any) -> Returned:
        try:
            return service(**asked)
        except Error as error:
            if sqlstate(error) != HISTORY_IS_LONG or connection.in_atomic_block:
                raise
            settle_first(error)
        return service(**asked)

    return settled


def customers_with_grants_to_settle() -> list[int]:
    """Return the customers with a grant that has expired, or with entries that are due to be settled.

    Entries are due for all customers with expiring credits or a subscription, whose renewals would otherwise settle
    them, and for others once their history is longer than one call settles.
    """
    expiring = Grant.objects.filter(expires_at__isnull=False, remaining__gt=0)
    behind = Q(user__balance__seq__gt=Coalesce(F("user__grant_progress__seq"), 0))
    found = expiring.filter(behind | Q(expires_at__lte=Now())).values_list("user_id", flat=True)
    renewing = Subscription.objects.filter(anchor_at__isnull=False, status__in=LIVE_STATUSES)
    settled = Coalesce(F("user__grant_progress__seq"), 0)
    far_behind = Balance.objects.annotate(ahead=F("seq") - settled).filter(ahead__gt=ENTRIES_AT_ONCE)
    return sorted(
        {
            *found,
            *renewing.filter(behind).values_list("user_id", flat=True),
            *far_behind.values_list("user_id", flat=True),
        }
    )


def grants_due(*, user_id: int) -> int:
    """Count the grants of a customer that have expired since the last settlement."""
    return Grant.objects.of(user_id).filter(expires_at__lte=Now(), has_run_out=False, remaining__gt=0).count()


def _comparable(value: object) -> object:
    return value.astimezone(dt.UTC).isoformat() if isinstance(value, dt.datetime) else value
