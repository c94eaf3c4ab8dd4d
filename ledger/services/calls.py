"""Calls of the SQL functions that write balances: errors of the database become refusals of the ledger."""

from __future__ import annotations

from typing import Any

from django.db import DataError, IntegrityError

from config.db.calls import call
from config.db.prepared import sqlstate
from ledger import errors

_REFUSAL_BY_SQLSTATE: dict[str, type[errors.LedgerRefusal]] = {
    "22003": errors.BalanceLimitExceeded,  # numeric_value_out_of_range
    "23503": errors.UnknownCustomer,  # foreign_key_violation: there is no such user
}


def ledger_call(function: str, /, **arguments: Any) -> Any:
    """Call an SQL function with named arguments and return its one row, as `config.db.calls.call` does.

    :raises BalanceLimitExceeded: if the balance would leave its bounds
    :raises UnknownCustomer: if there is no such user
    :raises django.db.Error: any other error of the last attempt
    """
    try:
        return call(function, **arguments)
    except (DataError, IntegrityError) as error:
        refusal = _REFUSAL_BY_SQLSTATE.get(sqlstate(error))
        if refusal is None:
            raise
        raise refusal from error
