"""What the SQL functions say of a customer who may not be charged, in the domain's words."""

from __future__ import annotations

from ledger.errors import UnknownCustomer
from usage import errors

_REFUSALS: dict[str, type[Exception]] = {
    "key_invalid": errors.CustomerKeyInvalid,
    "customer_inactive": errors.CustomerInactive,
    "customer_unknown": UnknownCustomer,
}


def raise_customer_refusal(outcome: str) -> None:
    """Let any other outcome pass.

    :raises CustomerKeyInvalid, CustomerInactive, UnknownCustomer: if it is one of these
    """
    if outcome in _REFUSALS:
        raise _REFUSALS[outcome]
