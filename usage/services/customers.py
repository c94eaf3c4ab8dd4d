"""Whether a customer may be charged: outcomes of the SQL functions as the domain's errors."""

from __future__ import annotations

import datetime as dt

from accounts.models import User
from config.db.calls import call
from ledger.errors import UnknownCustomer
from usage import errors
from usage.selectors import owner_of_key

_REFUSALS: dict[str, type[Exception]] = {
    "key_invalid": errors.CustomerKeyInvalid,
    "customer_inactive": errors.CustomerInactive,
    "customer_unknown": UnknownCustomer,
}


def raise_customer_refusal(outcome: str) -> None:
    """Raise the refusal that an outcome stands for; return on any other outcome.

    :raises CustomerKeyInvalid, CustomerInactive, UnknownCustomer: if the outcome is one of these
    """
    if outcome in _REFUSALS:
        raise _REFUSALS[outcome]


def customer_of_key(*, key_hash: bytes, operation: str, idempotency_key: str, now: dt.datetime) -> int:
    """Return the id of the customer whose key has this SHA-256.

    A key that has ended still names its customer for an operation done under the idempotency key before: that is
    replayed.

    :raises CustomerKeyInvalid: if it is not a customer's key, or not live: a charge by it would be refused too
    """
    owner = owner_of_key(key_hash=key_hash, now=now)
    if owner.is_live:
        return owner.user_id
    asked = {"p_user_id": owner.user_id, "p_operation": operation, "p_idempotency_key": idempotency_key}
    if not call("usage_has_been_done", **asked)[0]:
        raise errors.CustomerKeyInvalid
    return owner.user_id


def refuse_ended(*, user_id: int | None, key_hash: bytes | None, now: dt.datetime) -> None:
    """Refuse new work for a customer whose key has ended or who was deactivated.

    :raises CustomerKeyInvalid, CustomerInactive: if the key has ended, or the customer was deactivated
    """
    if key_hash is not None:
        if not owner_of_key(key_hash=key_hash, now=now).is_live:
            raise errors.CustomerKeyInvalid
    elif user_id is None or not User.objects.filter(pk=user_id, is_active=True).exists():
        raise errors.CustomerInactive
